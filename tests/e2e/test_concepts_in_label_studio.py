"""A text and boxes around examples in the real page: everything alike is suggested and can be accepted at once."""

import threading

import pytest
import uvicorn
from label_studio_sdk import LabelStudio
from PIL import Image

from colour_segmenter import ColourFinder, surface
from ports import own_port
from sam_backend.labelstudio.rle import decode_rle
from sam_backend.masks import mask_iou
from sam_backend.settings import Settings
from services import make_app

LABELED = ("Rust", "Moss")
LABELS = '<Label value="Rust" text="red"/><Label value="Moss"/>'
CONFIG = f"""<View>
  <Image name="image" value="$image"/>
  <TextArea name="text" toName="image" smart="true" placeholder="all of"/>
  <RectangleLabels name="like" toName="image" smart="true" smartOnly="true" exemplars="positive">
    {LABELS}
  </RectangleLabels>
  <RectangleLabels name="unlike" toName="image" smart="true" smartOnly="true" exemplars="negative">
    {LABELS}
  </RectangleLabels>
  <BrushLabels name="mask" toName="image">{LABELS}</BrushLabels>
</View>"""
PIXELS, MASKS = surface(1, red=[(10, 10), (60, 20), (100, 80)], green=[(20, 70), (120, 10)], size=(120, 160))
RED, GREEN = ([mask for label, mask in MASKS if label == colour] for colour in ("red", "green"))


@pytest.fixture
def finder_url(stack, tmp_path):
    """The address of a backend whose model finds what has a colour."""
    port = own_port(19290)
    settings = Settings(
        home=tmp_path / "home", cache=tmp_path / "cache", label_studio_url=stack.url, allow_host="localhost", prefetch=0
    )
    server = uvicorn.Server(
        uvicorn.Config(make_app(ColourFinder(), settings), host="127.0.0.1", port=port, log_level="warning")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)


@pytest.fixture
def project(stack, finder_url, tmp_path):
    """A project with one image of coloured squares, connected to that backend."""
    client = LabelStudio(base_url=stack.url, api_key=stack.credentials.token)
    number = client.projects.create(title="Text and examples", label_config=CONFIG).id
    Image.fromarray(PIXELS).save(tmp_path / "squares.png")
    stack.api.create_tasks(number, [{"image": stack.api.upload(number, tmp_path / "squares.png"), "name": "squares"}])
    stack.api.connect_backend(number, finder_url, "Finder")
    return number


def assert_are(regions, masks, label):
    found = [decode_rle(region["value"]["rle"], PIXELS.shape[:2]) for region in regions]
    assert len(found) == len(masks)
    for mask in masks:
        assert max(mask_iou(mask, one) for one in found) > 0.9
    assert {label for region in regions for label in region["value"]["brushlabels"]} == {label}


def test_a_text_and_examples_find_all_that_is_alike(stack, labeling, project):
    (task,) = stack.api.tasks(project)
    labeling.open_task(project, task.id, PIXELS.shape[:2])

    found = labeling.find_by_text("all of", "red")
    assert [region["value"] for region in found.drawn] == [{"text": ["red"]}]
    assert_are(found.regions, RED, "Rust")
    labeling.screenshot("all-by-text")
    labeling.accept()

    labeling.choose_smart_tool("rectangle-tool", 0)
    found = labeling.find_by_box("like", (20, 70, 44, 94), label="Moss")
    assert_are(found.regions, GREEN, "Moss")
    # Another one of the same label asks with the first; a counterexample of the same colour leaves nothing.
    labeling.choose_smart_tool("rectangle-tool", 1)
    none = labeling.find_by_box("unlike", (120, 10, 144, 34), label="Moss")
    assert [region["from_name"] for region in none.drawn] == ["like", "unlike"]
    assert none.regions == []


def test_what_was_found_by_an_example_is_accepted_at_once(stack, labeling, project):
    (task,) = stack.api.tasks(project)
    labeling.open_task(project, task.id, PIXELS.shape[:2])
    labeling.choose_smart_tool("rectangle-tool", 0)
    labeling.find_by_box("like", (20, 70, 44, 94), label="Moss")
    labeling.accept()
    labeling.submit()
    client = LabelStudio(base_url=stack.url, api_key=stack.credentials.token)
    (annotation,) = client.annotations.list(task.id)
    # What the text of Rust proposed when the task was opened is in the annotation, too.
    by_label = {label: [one for one in annotation.result if label in one["value"]["brushlabels"]] for label in LABELED}
    assert_are(by_label["Moss"], GREEN, "Moss")
    assert_are(by_label["Rust"], RED, "Rust")
