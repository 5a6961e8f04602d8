"""The files of a report, from a run on images on disk."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from evaluation_rows import ious, objects
from evaluation_run import run_of
from sam_evaluation import RunSettings, evaluate
from sam_evaluation.coco_rle import decode_mask, encode_mask
from sam_evaluation.report.charts import charts
from sam_evaluation.report.findings import Findings
from sam_evaluation.report.gallery import choose, gallery
from sam_evaluation.report.people import people
from sam_evaluation.report.write import write_report
from sam_evaluation.run_files import Run

IMAGES = 7


@pytest.fixture
def run(tmp_path: Path) -> Run:
    data = tmp_path / "data"
    for name in ("images", "masks"):
        (data / name).mkdir(parents=True)
    for index in range(IMAGES):
        mask = np.zeros((40, 60), np.uint8)
        mask[5:15, 5 : 20 + index] = 255
        mask[10 : 14 + index, 5:9] = 255
        Image.fromarray(60 + mask // 2).save(data / "images" / f"{index}.png")
        Image.fromarray(mask).save(data / "masks" / f"{index}.png")
    (data / "images" / "6.png").write_bytes(b"no image")
    settings = RunSettings("box,clicks:2")
    return evaluate(["boxfill", "felzenszwalb"], [f"masks:{data}"], out=tmp_path / "run", settings=settings)


def test_masks_come_back_as_they_were_written() -> None:
    for mask in (np.zeros((3, 4), bool), np.eye(5, 9, dtype=bool), np.ones((2, 2), bool)):
        np.testing.assert_array_equal(decode_mask(encode_mask(mask), mask.shape), mask)


def test_all_files_of_a_report_are_written_and_nothing_else_is_left(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for _ in range(2):
        assert write_report(run, out) == out / "report.html"
    assert {path.name for path in out.iterdir()} - {"parts"} == {
        *("objects.parquet", "images.parquet", "broken.csv", "left_out.csv", "run.json"),
        *("summary.csv", "report.html", "report.md", "figures"),
    }
    pictures = {path.name for path in (out / "figures").iterdir()}
    assert {"1-masks-size.png", "1-masks-boundary.png", "1-masks-clicks.png", "1-masks-1-worst.png"} <= pictures
    markdown = (out / "report.md").read_text()
    assert set(re.findall(r"\(figures/(.*?)\)", markdown)) == pictures
    html = (out / "report.html").read_text()
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)
    for text in (html, markdown):
        assert "6.png is not an image" in text


def test_the_same_run_gives_the_same_report(run: Run, tmp_path: Path) -> None:
    one, two = (write_report(run, tmp_path / name).read_bytes() for name in ("one", "two"))
    assert one == two


def test_the_summary_says_in_each_row_what_it_was_made_with(run: Run, tmp_path: Path) -> None:
    write_report(run, tmp_path / "run")
    table = pd.read_csv(tmp_path / "run" / "summary.csv")
    assert set(table["dataset_hash"]) == {run.about["datasets"]["masks"]["fingerprint"]}
    assert set(table["object_rule"]) == {"components of 8 neighbours, at least 20 px"}
    assert {"iou", "boundary_f", "noc_0.85", "never_0.85"} <= set(table["metric"])
    assert table[["model", "version", "protocol", "seed", "objects", "low", "high"]].columns.isin(table).all()


def test_names_of_users_stay_names(tmp_path: Path) -> None:
    label = "<script>x</script>|$a$ [b](c)"
    broken = pd.DataFrame([{"model": "a", "dataset": "parts", "sample": "<b>.png", "reason": "a & b"}])
    run = run_of(objects({"label": label}, {"label": "plain $"}), broken=broken)
    html = write_report(run, tmp_path).read_text()
    assert "<script" not in html
    assert "&lt;script&gt;x" in html
    assert "&lt;b&gt;.png" in html
    markdown = (tmp_path / "report.md").read_text()
    assert "<script" not in markdown
    assert r"\|$a$ [b]\(c)" in markdown


def test_a_run_without_objects_still_has_a_report(tmp_path: Path) -> None:
    html = write_report(run_of(pd.DataFrame()), tmp_path).read_text()
    assert "no object could be evaluated" in html
    assert "<table" not in html
    assert list((tmp_path / "figures").iterdir()) == []


def test_a_report_removes_pictures_of_an_older_one_and_nothing_else(tmp_path: Path) -> None:
    theirs = {"setup.png", "gap-models.png", "1-notes.txt"}
    (tmp_path / "figures" / "raw").mkdir(parents=True)
    for name in (*theirs, "2-parts-iou.png"):
        (tmp_path / "figures" / name).touch()
    write_report(run_of(pd.DataFrame()), tmp_path)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {*theirs, "raw"}


class TestGallery:
    def test_worst_median_and_best_are_chosen_by_iou(self) -> None:
        chosen = choose(ious(*np.linspace(0, 1, 21)), per_kind=1)
        assert [(kind, row["iou"]) for kind, row in chosen] == [("worst", 0.0), ("median", 0.5), ("best", 1.0)]

    def test_cases_are_of_different_images_where_there_are_enough(self) -> None:
        crowded = objects(*({"iou": place / 100, "object": place, "sample": "one.png"} for place in range(10)))
        rows = pd.concat([crowded, ious(0.5, 0.6, 0.7, 0.8, 0.9)])
        worst = [row for kind, row in choose(rows, per_kind=2) if kind == "worst"]
        assert [row["sample"] for row in worst] == ["one.png", "000.png"]

    @pytest.mark.parametrize("many", range(1, 12))
    def test_no_object_comes_twice(self, many: int) -> None:
        chosen = [row["sample"] for _, row in choose(ious(*np.linspace(0, 1, many)))]
        assert len(chosen) == len(set(chosen)) == min(many, 9 if many >= 9 else 6 if many >= 6 else 3)

    def test_panels_show_image_truth_and_the_result_of_each_model(self, run: Run) -> None:
        result = gallery(Findings.of(run), "masks", "x")
        assert result is not None
        assert [case.kind for case in result.cases] == ["worst"] * 2 + ["median"] * 2 + ["best"] * 2
        titles = [panel.title for panel in result.cases[0].panels]
        assert titles[:2] == ["image", "ground truth"]
        assert [title.partition(":")[0] for title in titles[2:]] == [
            "boxfill, with a box",
            "felzenszwalb, after 2 clicks",
        ]
        plain, truth, box, _ = (panel.pixels.astype(int) for panel in result.cases[0].panels)
        # The images are grey: whatever has a colour was drawn, and a filled box covers more than the object in it.
        coloured = [int((np.ptp(pixels, axis=2) > 9).sum()) for pixels in (plain, truth, box)]
        assert coloured[0] == 0
        assert coloured[2] > coloured[1] > 0

    def test_images_that_are_gone_are_reported_in_its_place(self, run: Run, tmp_path: Path) -> None:
        shutil.rmtree(tmp_path / "data")
        html = write_report(run, tmp_path / "run").read_text()
        assert "The images of masks are no longer in" in html
        assert 'class="panels"' not in html

    def test_an_image_that_changed_is_not_shown_with_the_result_of_another(self, run: Run, tmp_path: Path) -> None:
        for path in (tmp_path / "data" / "masks").iterdir():
            Image.fromarray(np.asarray(Image.open(path))[:, ::-1] // 2 * 2).save(path)
            mask = np.zeros((40, 60), np.uint8)
            mask[1:20, 1:30] = 255
            Image.fromarray(mask).save(path)
        result = gallery(Findings.of(run), "masks", "x")
        assert result is not None
        assert result.cases == ()
        assert "has changed since the run" in result.missing


class TestFigures:
    def test_only_what_has_something_to_show_is_drawn(self) -> None:
        kinds = [chart.kind for chart in charts(Findings.of(run_of(ious(0.1, 0.5, 0.9))), "parts")]
        assert kinds == ["size", "boundary", "reliability"]
        rows = objects({"label": "dent"}, {"predicted_iou": 0.9}, protocol="everything")
        kinds = [chart.kind for chart in charts(Findings.of(run_of(rows)), "parts")]
        assert kinds == ["size", "boundary", "reliability", "classes"]

    def test_series_keep_their_colour_from_figure_to_figure(self) -> None:
        rows = pd.concat([ious(0.1, 0.9, model="b", version="b-1"), ious(0.1, 0.5, protocol="click", click=1)])
        result = Findings.of(run_of(rows, models=("a", "b")))
        colours = {
            chart.kind: {line.get_label(): line.get_color() for line in chart.figure.axes[0].lines[:2]}
            for chart in charts(result, "parts")
            if chart.kind != "reliability"
        }
        assert colours["size"] == colours["boundary"]
        assert set(colours["size"]) == {"a, with one click", "b, with a box"}

    def test_bars_name_their_classes_the_weakest_first(self) -> None:
        rows = objects({"label": "$x$", "iou": 0.9}, {"label": "dent", "iou": 0.1})
        (bars,) = (chart for chart in charts(Findings.of(run_of(rows)), "parts") if chart.kind == "classes")
        assert [text.get_text() for text in bars.figure.axes[0].get_yticklabels()] == ["dent (1)", r"\$x\$ (1)"]
        assert bars.png().startswith(b"\x89PNG")


class TestPeople:
    @pytest.fixture
    def natural(self, tmp_path: Path) -> Run:
        """A run on one image that two people divided, one of them by a line two pixels further right."""
        from scipy.io import savemat

        for name in ("images", "groundTruth"):
            (tmp_path / "bsds" / name).mkdir(parents=True)
        Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(tmp_path / "bsds" / "images" / "1.jpg")
        divided = np.empty((1, 2), object)
        for person, at in enumerate((14, 16)):
            labels = np.ones((20, 30), np.uint16)
            labels[:, at:] = 2
            divided[0, person] = {"Segmentation": labels}
        savemat(tmp_path / "bsds" / "groundTruth" / "1.mat", {"groundTruth": divided})
        return evaluate(
            ["boxfill"], [f"bsds500:{tmp_path / 'bsds'}"], out=tmp_path / "run", settings=RunSettings("box")
        )

    def test_agreement_is_measured_once_and_kept(self, natural: Run, tmp_path: Path) -> None:
        measured = people(natural, tmp_path / "run")
        assert sorted(measured["iou"].round(3)) == [0.875, 0.875, 0.875, 0.875]
        shutil.rmtree(tmp_path / "bsds")
        pd.testing.assert_frame_equal(people(natural, tmp_path / "run"), measured)

    def test_what_was_kept_of_another_run_is_measured_again(self, natural: Run, tmp_path: Path) -> None:
        pd.DataFrame({name: [] for name in (*natural.objects.columns, "iou")}).to_parquet(tmp_path / "human.parquet")
        assert len(people(natural, tmp_path)) == 4
        (tmp_path / "human.parquet").write_bytes(b"damaged")
        assert len(people(natural, tmp_path)) == 4

    def test_they_are_in_the_report(self, natural: Run, tmp_path: Path) -> None:
        html = write_report(natural, tmp_path / "run", human=people(natural, tmp_path / "run")).read_text()
        assert "humans among themselves" in html

    def test_nobody_is_asked_where_one_person_annotated(self, run: Run, tmp_path: Path) -> None:
        assert people(run, tmp_path / "run").empty
        assert not (tmp_path / "run" / "human.parquet").exists()


def test_the_package_gives_its_functions_and_imports_nothing_slow() -> None:
    code = (
        "import sys, json, sam_evaluation; early = [n for n in ('pandas', 'matplotlib', 'scipy') if n in sys.modules];"
        "from sam_evaluation import evaluate, gap_table, compare, write_report;"
        "print(json.dumps([early, [each.__module__ for each in (evaluate, gap_table, compare, write_report)]]))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    places = ["runner", "gap", "comparison", "report.write"]
    assert json.loads(output) == [[], [f"sam_evaluation.{place}" for place in places]]
