"""Label Studio's labeling page, driven as an annotator drives it, in pixels of the image."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from sam_backend.labelstudio.rle import decode_rle

ARTIFACTS = Path(__file__).parents[1] / "test-artifacts"
_BEFORE_TEST_IDS = {
    "accept-suggestions": "[class*=action_type_accept]",
    "reject-suggestions": "[class*=action_type_reject]",
    "settings": "button[aria-label=Settings]",
    "update": "button[aria-label=submit]",
}
"""The buttons of the bar below the image in Label Studio 1.20, whose bar has no test ids."""

_TOOLS = {"key-point-tool": "KeyPointTool", "rectangle-tool": "RectangleTool"}
_IS_CHOSEN = """([name, number]) => {
    const tools = Htx.annotationStore.selected.objects[0].getToolsManager();
    const chosen = tools.findSelectedTool();
    return Boolean(chosen) && tools.allTools().filter(one => one.dynamic && one.toolName === name)[number] === chosen;
}"""


@dataclass(frozen=True)
class Asked:
    """A prompt as the page sent it, and the region that came back."""

    drawn: list[dict[str, Any]]
    region: dict[str, Any]
    size: tuple[int, int]

    @property
    def mask(self):
        return decode_rle(self.region["value"]["rle"], self.size)


@dataclass(frozen=True)
class Found:
    """What the page sent, and the regions that came back, each a suggestion on the page."""

    drawn: list[dict[str, Any]]
    regions: list[dict[str, Any]]


class LabelingPage:
    """One browser tab; `size` is the (height, width) of the image that is open."""

    def __init__(self, page: Page, url: str) -> None:
        self._page = page
        self._url = url
        self.size = (0, 0)

    def log_in(self, user: str, password: str) -> None:
        self._page.goto(f"{self._url}/user/login/", wait_until="domcontentloaded")
        self._page.fill("input[name=email]", user)
        self._page.fill("input[name=password]", password)
        self._page.click("button[type=submit]")
        self._page.wait_for_url(lambda url: "/user/login" not in url, wait_until="domcontentloaded")

    def open_task(self, project: int, task: int, size: tuple[int, int]) -> None:
        self.size = size
        self._page.goto(f"{self._url}/projects/{project}/data?task={task}", wait_until="domcontentloaded")
        self._page.wait_for_function(
            """width => {
                const image = window.Htx?.annotationStore?.selected?.objects?.[0];
                return image?.naturalWidth === width && image.stageWidth > 0;
            }""",
            arg=size[1],
        )
        if not self._page.get_by_text("Auto-Accept Suggestions").is_visible():
            self._page.get_by_text("Auto-Annotation", exact=True).click()
        expect(self._page.get_by_text("Auto-Accept Suggestions")).to_be_visible()

    def labels_of_regions(self, project: int, task: int, count: int) -> list[str]:
        """Open a task, wait until it shows so many regions, and return their labels."""
        self._page.goto(f"{self._url}/projects/{project}/data?task={task}", wait_until="domcontentloaded")
        self._page.wait_for_function(
            "count => window.Htx?.annotationStore?.selected?.regions?.length === count", arg=count
        )
        return self._page.evaluate("() => Htx.annotationStore.selected.regions.map(region => region.labelName)")

    def choose_smart_tool(self, name: str, number: int = 0) -> None:
        """Choose `key-point-tool` or `rectangle-tool`; `number` counts the controls that have this tool."""
        # Each click on the group goes on to its next tool, and comes around.
        while not self._page.evaluate(_IS_CHOSEN, [_TOOLS[name], number]):
            self._page.locator(".lsf-toolbar__group").last.get_by_role("button").first.click()

    def click(
        self, point: tuple[float, float], *, label: str, positive: bool = True, labels_of: str = "click"
    ) -> Asked:
        # Ctrl clicks through masks that are there already; Alt makes the click a negative one.
        held = ["Control"] if positive else ["Control", "Alt"]

        def draw() -> None:
            self._page.mouse.click(*self.at(*point))

        return self._ask(draw, labels_of, label, held)

    def drag(self, box: tuple[float, float, float, float], *, label: str) -> Asked:
        return self._ask(lambda: self.draw(box), "box", label, ["Control"])

    def find_by_text(self, placeholder: str, text: str) -> Found:
        """Type a text into a smart text area; return what came back."""
        field = self._page.get_by_placeholder(placeholder)

        def send() -> None:
            field.fill(text)
            field.press("Enter")

        found = self._find(send)
        # A key pressed next is not for the field.
        field.blur()
        return found

    def find_by_box(self, control: str, box: tuple[float, float, float, float], *, label: str) -> Found:
        """Draw a box around an example, or around what is not meant; return what came back."""
        if not self._page.evaluate("name => Htx.annotationStore.selected.names.get(name).isSelected", control):
            self.select_label(control, label)

        def send() -> None:
            self._page.keyboard.down("Control")
            self.draw(box)
            self._page.keyboard.up("Control")

        return self._find(send)

    def _find(self, send: Callable[[], None]) -> Found:
        with self._page.expect_response(lambda answer: "interactive-annotating" in answer.url) as answered:
            send()
        body = answered.value.json()
        assert not body.get("errors"), body["errors"]
        regions = body["data"]["result"]
        self._page.wait_for_function(
            "count => Htx.annotationStore.selected.suggestions.size === count", arg=len(regions)
        )
        return Found(answered.value.request.post_data_json["context"]["result"], regions)

    def draw(self, box: tuple[float, float, float, float]) -> None:
        """Drag from one corner of a box to the other."""
        self._page.mouse.move(*self.at(box[0], box[1]))
        self._page.mouse.down()
        self._page.mouse.move(*self.at((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), steps=3)
        self._page.mouse.move(*self.at(box[2], box[3]), steps=3)
        self._page.mouse.up()

    def button(self, name: str) -> Locator:
        return self._page.get_by_test_id(f"bottombar-{name}-button").or_(self._page.locator(_BEFORE_TEST_IDS[name]))

    def screenshot(self, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        self._page.screenshot(path=ARTIFACTS / f"{name}.png")

    def accept(self) -> None:
        button = self.button("accept-suggestions")
        button.click()
        expect(button).to_be_hidden()

    def submit(self) -> None:
        with self._page.expect_response(
            lambda answer: answer.request.method == "POST" and "/annotations" in answer.url
        ) as sent:
            self._page.get_by_role("button", name="Submit").click()
        assert sent.value.ok, sent.value.text()

    def update(self) -> None:
        """Save an annotation that was submitted before."""
        with self._page.expect_response(
            lambda answer: answer.request.method == "PATCH" and "/annotations" in answer.url
        ) as sent:
            self.button("update").click()
        assert sent.value.ok, sent.value.text()

    def _ask(self, draw, control: str, label: str, held: list[str]) -> Asked:
        self.select_label(control, label)
        for key in held:
            self._page.keyboard.down(key)
        with self._page.expect_response(lambda answer: "interactive-annotating" in answer.url) as answered:
            draw()
        for key in held:
            self._page.keyboard.up(key)
        body = answered.value.json()
        assert not body.get("errors"), body["errors"]
        region = body["data"]["result"][0]
        # A bare shape and its label come as two results of one region.
        assert {result["id"] for result in body["data"]["result"]} == {region["id"]}
        # The region is on the page, as a suggestion with buttons to accept and reject it.
        self._page.wait_for_function(
            "id => [...Htx.annotationStore.selected.suggestions.values()].some(region => region.cleanId === id)",
            arg=region["id"],
        )
        expect(self.button("accept-suggestions")).to_be_visible()
        return Asked(answered.value.request.post_data_json["context"]["result"], region, self.size)

    def select_label(self, control: str, label: str) -> None:
        """Press the label's key: after every prompt Label Studio lets go of the label."""
        self.press_label(control, label)
        self._page.wait_for_function(
            "control => Htx.annotationStore.selected.names.get(control).isSelected", arg=control
        )

    def press_label(self, control: str, label: str) -> None:
        """Press a label's key, which also gives the label to a region that is selected."""
        key = self._page.evaluate(
            "([control, label]) => Htx.annotationStore.selected.names.get(control).findLabel(label).hotkey",
            [control, label],
        )
        self._page.keyboard.press(key)

    def at(self, x: float, y: float) -> tuple[float, float]:
        canvas = self._page.locator(".konvajs-content canvas").first.bounding_box()
        assert canvas is not None
        # The canvas is as wide as the page allows; the image lies in its upper left corner.
        shown = self._page.evaluate(
            "(({stageWidth, stageHeight}) => [stageWidth, stageHeight])(Htx.annotationStore.selected.objects[0])"
        )
        height, width = self.size
        return canvas["x"] + x / width * shown[0], canvas["y"] + y / height * shown[1]
