"""The report of an evaluation in a real browser, on a phone's and on a desktop's screen."""

import numpy as np
import pytest
from PIL import Image

from sam_evaluation import RunSettings, evaluate
from sam_evaluation.report.write import write_report
from sam_evaluation.requirements import parse_requirements


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report with everything in it: words, wide tables, all figures, cases, and a broken image."""
    folder = tmp_path_factory.mktemp("report")
    data = folder / "data"
    noise = np.random.default_rng(0)
    for part in ("images", "masks"):
        (data / part).mkdir(parents=True)
    for index in range(8):
        mask = np.zeros((80, 120), np.uint8)
        mask[10:30, 10 + index : 40 + 3 * index] = 255
        mask[50:70, 60:90] = 255 * (index % 2)
        surface = 90 + mask // 3 + noise.integers(0, 12, mask.shape, np.uint8)
        Image.fromarray(surface).save(data / "images" / f"<b>{index} a very long name of a part from line 7.png")
        Image.fromarray(mask).save(data / "masks" / f"<b>{index} a very long name of a part from line 7.png")
    next((data / "images").iterdir()).write_bytes(b"no image")
    settings = RunSettings("box,click,clicks:3")
    run = evaluate(["nano", "boxfill", "felzenszwalb"], [f"masks:{data}"], out=folder / "run", settings=settings)
    needs = parse_requirements('[object]\niou = ">= 0.9"\nboundary_f = ">= 0.95"\nhd95 = "<= 3"\nassd = "<= 1"')
    return write_report(run, folder / "run", requirements=needs)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900)])
def test_the_report_opens_without_errors_and_fits_the_screen(browser, report, width, height, scheme):
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    try:
        assert said == []
        assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") == width
        shown = page.locator("img").evaluate_all("all => all.map(each => [each.naturalWidth > 0, each.alt !== ''])")
        assert len(shown) > 20
        assert all(all(each) for each in shown)
        headings = page.locator("h2").all_inner_texts()
        assert headings == [
            *("Summary", "Tables", "Figures", "Worst, median and best cases"),
            *("Images that could not be used", "How it was made"),
        ]
        for link in page.locator("nav a").all():
            assert page.locator(link.get_attribute("href")).count() == 1
    finally:
        page.close()


def test_wide_tables_scroll_in_their_own_box_on_a_phone(browser, report):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(report.as_uri())
    try:
        boxes = page.locator(".scroll").evaluate_all("all => all.map(each => [each.clientWidth, each.scrollWidth])")
        assert all(shown <= 390 for shown, _ in boxes)
        assert any(whole > shown for shown, whole in boxes)
    finally:
        page.close()
