"""The table of costs, measured: each piece of work is done on the real page, and the browser counts what it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from label_studio_sdk import LabelStudio
from playwright.sync_api import Page as Tab

from labeling_page import LabelingPage
from sam_backend.demo.demo_images import make_images
from sam_backend.labelstudio.rle import encode_rle
from sam_backend.masks import deepest_point
from sam_evaluation.simulation.actions import COSTS, Cost, Page, Work

LABEL = "Pit"
IMAGE = "tile-pit.jpg"

_COUNT = """() => {
    window.actions = {keys: 0, clicks: 0, drags: 0};
    let start = null;
    addEventListener('keydown', event => { if (!event.repeat) window.actions.keys++; }, true);
    addEventListener('mousedown', event => { start = [event.clientX, event.clientY]; }, true);
    addEventListener('mouseup', event => {
        if (!start) return;
        const moved = Math.hypot(event.clientX - start[0], event.clientY - start[1]);
        window.actions[moved > 3 ? 'drags' : 'clicks']++;
        start = null;
    }, true);
}"""


class Annotator:
    """Works on one image, and counts."""

    def __init__(self, page: Tab, labeling: LabelingPage) -> None:
        self.page, self.labeling = page, labeling
        height, width = labeling.size
        self.left, self.right = (0.2 * width, 0.2 * height), (0.35 * width, 0.2 * height)
        """Ends of a stroke; what it paints has no object."""
        self.counted: dict[Work, Cost] = {}

    @contextmanager
    def counting(self, work: Work) -> Iterator[None]:
        self.page.evaluate("() => Object.keys(window.actions).forEach(kind => window.actions[kind] = 0)")
        yield
        self.counted[work] = Cost(**self.page.evaluate("() => window.actions"))

    def set_page(self, settings: Page) -> None:
        """Set the labeling page as an annotator does, once."""
        if settings is Page.QUICK:
            self.page.get_by_text("Auto-Accept Suggestions").click()
            self.labeling.button("settings").click()
            self.page.get_by_text("Keep label selected after creating a region").click()
            self.press("Escape")
            self.until("() => Htx.autoAcceptSuggestions && Htx.settings.continuousLabeling")

    def asks(self, draw: Callable[[], None]) -> None:
        """Do something that the page answers with a suggestion, or with a region where it accepts by itself."""
        with self.page.expect_response(lambda answer: "interactive-annotating" in answer.url) as answered:
            draw()
        assert not answered.value.json().get("errors")
        self.until(
            """id => [...Htx.annotationStore.selected.suggestions.values(), ...Htx.annotationStore.selected.regions]
                .some(region => region.cleanId === id) && !Htx.awaitingSuggestions""",
            answered.value.json()["data"]["result"][0]["id"],
        )

    def has_label(self, control: str) -> bool:
        return self.page.evaluate("name => Htx.annotationStore.selected.names.get(name).isSelected", control)

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def press_label(self, control: str) -> None:
        self.labeling.select_label(control, LABEL)

    def stroke(self, shift: float = 0.0) -> None:
        (left, top), (right, bottom) = self.left, self.right
        self.labeling.draw((left, top + shift, right, bottom + shift))

    def click_in_the_stroke(self) -> None:
        (left, top), (right, _) = self.left, self.right
        self.page.mouse.click(*self.labeling.at((left + right) / 2, top))

    def until(self, condition: str, argument: object = None) -> None:
        self.page.wait_for_function(condition, arg=argument)

    def tool(self, name: str) -> None:
        self.until(
            "name => Htx.annotationStore.selected.objects[0].getToolsManager().findSelectedTool()?.toolName === name",
            name,
        )

    def regions(self, count: int, *, selected: bool) -> None:
        self.until(
            """([count, selected]) => {
                const regions = Htx.annotationStore.selected.regions.filter(region => region.type === 'brushregion');
                return regions.length === count && regions.some(region => region.selected) === selected;
            }""",
            [count, selected],
        )

    def masks(self) -> int:
        return self.page.evaluate(
            "() => Htx.annotationStore.selected.regions.filter(region => region.type === 'brushregion').length"
        )

    def size(self) -> float:
        return self.page.evaluate(
            "() => Htx.annotationStore.selected.objects[0].getToolsManager().findSelectedTool().strokeWidth"
        )

    def touched(self) -> int:
        return self.page.evaluate(
            """() => Htx.annotationStore.selected.regions.filter(region => region.type === 'brushregion')
                .reduce((sum, region) => sum + region.touches.length, 0)"""
        )


@pytest.fixture
def client(stack) -> LabelStudio:
    return LabelStudio(base_url=stack.url, api_key=stack.credentials.token)


@pytest.fixture(params=[False])
def task(request, stack, client) -> tuple[int, int]:
    """A project and its one task, with a proposal or without."""
    config = client.projects.get(stack.project).label_config
    project = client.projects.create(title="Actions", label_config=config, show_collab_predictions=request.param).id
    stack.api.create_tasks(project, [{"image": stack.task(IMAGE).image, "name": IMAGE}])
    stack.api.connect_backend(project, stack.backend_url, "SAM Inspect")
    (task,) = stack.api.tasks(project)
    if request.param:
        height, width = image().size
        value = {"format": "rle", "rle": encode_rle(image().mask), "brushlabels": [LABEL]}
        region = {"id": "proposal", "from_name": "mask", "to_name": "image", "type": "brushlabels", "value": value}
        region |= {"original_width": width, "original_height": height, "image_rotation": 0}
        client.predictions.create(task=task.id, result=[region], score=0.9, model_version="proposals")
        client.projects.update(project, model_version="proposals")
    return project, task.id


@pytest.fixture
def annotator(stack, browser, task) -> Iterator[Annotator]:
    page = browser.new_page(viewport={"width": 1400, "height": 1200})
    page.set_default_timeout(60_000)
    page.add_init_script(f"({_COUNT})()")
    labeling = LabelingPage(page, stack.url)
    labeling.log_in(stack.credentials.user, stack.credentials.password)
    labeling.open_task(*task, image().size)
    yield Annotator(page, labeling)
    labeling.screenshot("end-of-action-costs")
    page.close()


def image():
    return next(made for made in make_images() if made.name == IMAGE)


@pytest.mark.parametrize("settings", Page)
def test_each_piece_of_work_takes_what_the_table_says(annotator: Annotator, settings: Page) -> None:
    page, labeling = annotator.page, annotator.labeling
    is_quick = settings is Page.QUICK
    annotator.set_page(settings)
    labeling.choose_smart_tool("key-point-tool")
    inside, outside = deepest_point(image().mask), deepest_point(~image().mask)

    # An object by clicks. By default the label is let go after each prompt, and a pending answer lets clicks through.
    with annotator.counting(Work.LABEL):
        annotator.press_label("click")
    with annotator.counting(Work.CLICK):
        annotator.asks(lambda: page.mouse.click(*labeling.at(*inside)))
    assert annotator.has_label("click") == is_quick
    if is_quick:
        # The answer is a region already, which the click has to go through; the label is still there.
        outside = (inside[0] + 30, inside[1] + 10)
        page.keyboard.down("Control")
    else:
        annotator.press_label("click")
    with annotator.counting(Work.NEGATIVE):
        page.keyboard.down("Alt")
        annotator.asks(lambda: page.mouse.click(*labeling.at(*outside)))
        page.keyboard.up("Alt")
    page.keyboard.up("Control")
    with annotator.counting(Work.ACCEPT):
        if not is_quick:
            labeling.accept()
        annotator.regions(1, selected=False)

    # A mask by hand: its label brings the brush, and it stays selected while it is painted.
    page.keyboard.press("b")
    annotator.tool("BrushTool")
    annotator.press_label("mask")
    annotator.tool("BrushTool")
    with annotator.counting(Work.STROKE):
        annotator.stroke()
    annotator.regions(2, selected=True)
    before = annotator.size()
    with annotator.counting(Work.SIZE):
        annotator.press("]")
    assert annotator.size() > before
    with annotator.counting(Work.ERASER):
        annotator.press("e")
    annotator.tool("EraserTool")
    with annotator.counting(Work.UNSELECT):
        annotator.press("u")
    annotator.regions(2, selected=False)
    assert not any(map(annotator.has_label, ("click", "mask")))
    with annotator.counting(Work.SMART):
        annotator.press("m")
    annotator.tool("KeyPointTool")

    # A region that exists: given another label, painted on, clicked through, deleted.
    with annotator.counting(Work.SELECT):
        annotator.click_in_the_stroke()
    annotator.regions(2, selected=True)
    labeling.press_label("mask", "Stain")
    annotator.until("() => Htx.annotationStore.selected.regions.some(region => region.labels.includes('Stain'))")
    with annotator.counting(Work.BRUSH):
        annotator.press("b")
    annotator.tool("BrushTool")
    strokes = annotator.touched()
    annotator.stroke(shift=6)
    annotator.regions(2, selected=True)
    assert annotator.touched() == strokes + 1
    annotator.press("u")
    annotator.press("m")
    annotator.tool("KeyPointTool")
    annotator.press_label("click")
    annotator.click_in_the_stroke()
    annotator.regions(2, selected=True)  # A bare click there selects the region.
    annotator.press("u")
    annotator.press_label("click")
    with annotator.counting(Work.THROUGH):
        page.keyboard.down("Control")
    annotator.asks(annotator.click_in_the_stroke)
    page.keyboard.up("Control")
    if not is_quick:
        annotator.labeling.button("reject-suggestions").click()
    there = annotator.masks()
    annotator.click_in_the_stroke()
    annotator.regions(there, selected=True)
    with annotator.counting(Work.DELETE):
        annotator.press("Backspace")
    annotator.regions(there - 1, selected=False)
    assert not annotator.has_label("click")
    if is_quick:
        # Where labels are kept, a region has the label of its tool, too: once it was selected, a click has both labels.
        page.mouse.click(*labeling.at(*inside))
        annotator.regions(there - 1, selected=True)
        assert annotator.has_label("click")
        assert annotator.has_label("mask")
        height, width = labeling.size
        annotator.asks(lambda: page.mouse.click(*labeling.at(0.8 * width, 0.8 * height)))
        annotator.regions(there, selected=False)

    with annotator.counting(Work.OTHER):
        labeling.choose_smart_tool("rectangle-tool")
    assert not annotator.has_label("click")
    annotator.press_label("box")
    with annotator.counting(Work.BOX):
        (x, y), (height, width) = inside, labeling.size
        annotator.asks(lambda: labeling.draw((x - 20, y - 20, min(x + 20, width), min(y + 20, height))))
    if not is_quick:
        labeling.accept()

    with annotator.counting(Work.SUBMIT):
        labeling.submit()
    assert annotator.counted == {work: cost for work, cost in COSTS[settings].items() if work is not Work.KEEP}


@pytest.mark.parametrize("task", [True], indirect=True)
def test_a_proposal_that_is_left_alone_is_submitted_with_the_rest(
    annotator: Annotator, client: LabelStudio, task: tuple[int, int]
) -> None:
    annotator.regions(1, selected=False)
    with annotator.counting(Work.SUBMIT):
        annotator.labeling.submit()
    assert annotator.counted[Work.SUBMIT] == COSTS[Page.DEFAULT][Work.SUBMIT]
    assert all(COSTS[settings][Work.KEEP] == Cost() for settings in Page)
    (annotation,) = client.annotations.list(task[1])
    (kept,) = annotation.result
    assert kept["value"]["brushlabels"] == [LABEL]
