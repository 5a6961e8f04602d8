"""A text or boxes around examples: everything alike comes back as one suggestion each."""

import numpy as np
import pytest

from colour_segmenter import ColourFinder, ColourSegmenter, surface
from label_studio_requests import batch, data_url, interactive, png, task
from sam_backend.labelstudio.rle import decode_rle, encode_rle

LABELS = '<Label value="Stain" text="red"/><Label value="Green"/>'
CONFIG = f"""<View>
  <Image name="image" value="$image"/>
  <TextArea name="text" toName="image" smart="true"/>
  <TextArea name="comment" toName="image"/>
  <RectangleLabels name="like" toName="image" smart="true" exemplars="positive">{LABELS}</RectangleLabels>
  <RectangleLabels name="unlike" toName="image" smart="true" exemplars="negative">{LABELS}</RectangleLabels>
  <KeyPointLabels name="point" toName="image" smart="true" exemplars="positive">{LABELS}</KeyPointLabels>
  <RectangleLabels name="box" toName="image" smart="true">{LABELS}</RectangleLabels>
  <BrushLabels name="mask" toName="image">{LABELS}</BrushLabels>
</View>"""
PIXELS, MASKS = surface(1, red=[(10, 10), (60, 20), (100, 80)], green=[(20, 70), (120, 10)])
HEIGHT, WIDTH = PIXELS.shape[:2]
IMAGE = data_url(png(PIXELS))


@pytest.fixture
def client(make_client):
    return make_client(ColourFinder())


def frame(control, kind):
    return {
        "id": control,
        "type": kind,
        "from_name": control,
        "to_name": "image",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
    }


def text(*texts, control="text"):
    return frame(control, "textarea") | {"value": {"text": list(texts)}}


def box(x, y, side=24, *, control="like", label="Stain"):
    value = {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 100 * side / WIDTH, "height": 100 * side / HEIGHT}
    return frame(control, "rectanglelabels") | {"value": value | {"rotation": 0, "rectanglelabels": [label]}}


def ask(client, *drawn):
    answer = client.post("/predict", json=interactive(*drawn, image=IMAGE, config=CONFIG))
    assert answer.status_code == 200, answer.text
    return answer.json()["results"][0]


def refused(client, *drawn):
    answer = client.post("/predict", json=interactive(*drawn, image=IMAGE, config=CONFIG))
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]


def assert_are(result, colour, label):
    """Check that the regions are all squares of a colour, each with the label."""
    found = [decode_rle(region["value"]["rle"], (HEIGHT, WIDTH)) for region in result["result"]]
    expected = [mask for name, mask in MASKS if name == colour]
    assert len(found) == len(expected)
    for mask in expected:
        assert max(np.sum(mask & one) / np.sum(mask | one) for one in found) > 0.9
    assert [region["value"]["brushlabels"] for region in result["result"]] == [label] * len(found)
    assert len({region["id"] for region in result["result"]}) == len(found)
    assert all(0.5 <= region["score"] <= 0.9 for region in result["result"])


def test_a_text_finds_all_that_it_names(client):
    assert_are(ask(client, text("Red")), "red", ["Stain"])


def test_the_newest_text_counts_and_a_label_by_its_name(client):
    assert_are(ask(client, text("red", " green ")), "green", ["Green"])


def test_a_text_that_no_label_means_gives_regions_without_a_label(client):
    assert_are(ask(client, text("all red things")), "red", [])


def test_a_box_around_an_example_finds_what_is_alike(client):
    assert_are(ask(client, box(20, 70, label="Green")), "green", ["Green"])


def test_a_box_around_what_is_not_meant_leaves_it_out(client):
    # The text of the label asks for what is red as well.
    both = [box(20, 70), box(60, 20, control="unlike")]
    assert_are(ask(client, *both), "green", ["Stain"])


def test_the_text_of_the_label_goes_with_its_boxes(client):
    result = ask(client, box(20, 70))
    assert len(result["result"]) == len(MASKS)


def test_the_last_region_says_whether_one_object_or_all_are_meant(client):
    assert len(ask(client, box(20, 70), box(60, 20, control="box"))["result"]) == 1
    assert len(ask(client, box(60, 20, control="box"), box(20, 70, label="Green"))["result"]) == 2


def saved(label, mask):
    value = {"format": "rle", "rle": encode_rle(mask), "brushlabels": [label] if label else []}
    return frame("mask", "brushlabels") | {"id": f"{label}{mask.argmax()}", "value": value}


def test_what_is_in_the_saved_annotation_is_not_suggested_again(client):
    red = [mask for name, mask in MASKS if name == "red"]
    draft = {"id": 7, "updated_at": "2026-11-28T10:00:00Z", "result": [saved("Stain", red[0]), saved("", red[1])]}

    def found(**task_fields):
        body = interactive(text("red"), image=IMAGE, config=CONFIG, **task_fields)
        return len(client.post("/predict", json=body).json()["results"][0]["result"])

    assert found(drafts=[draft]) == 1
    # A mask of another label is no obstacle, nor is a prediction: whether the page shows it is not known.
    assert found(drafts=[draft | {"result": [saved("Green", red[0])]}]) == 3
    assert found(predictions=[draft]) == 3
    # A box around an example is no mask, also where it is in the draft.
    assert found(drafts=[draft | {"result": [box(10, 10)]}]) == 3


def test_a_comment_and_a_choice_are_no_prompts(client):
    choice = frame("sure", "choices") | {"value": {"choices": ["yes"]}}
    assert ask(client, text("red", control="comment"), choice)["result"] == []
    assert_are(ask(client, text("red"), text("bad light", control="comment"), choice), "red", ["Stain"])


def test_a_text_about_a_region_is_no_prompt(client):
    about = text("green") | {"id": "of a region"}
    about["value"] |= {"x": 1, "y": 1, "width": 5, "height": 5}
    assert ask(client, text("red"), about)["result"] == []


def test_a_bare_rectangle_has_its_label_beside_it(client):
    like = '<Labels name="labels" toName="image"><Label value="Green"/></Labels>'
    like += '<Rectangle name="bare" toName="image" smart="true" exemplars="positive"/>'
    config = CONFIG.replace("</View>", f"{like}</View>")
    bare = box(20, 70, control="bare") | {"type": "rectangle"}
    value = bare["value"]
    del value["rectanglelabels"]
    label = bare | {"type": "labels", "from_name": "labels", "value": {**value, "labels": ["Green"]}}
    answer = client.post("/predict", json=interactive(bare, label, image=IMAGE, config=config))
    assert_are(answer.json()["results"][0], "green", ["Green"])


@pytest.mark.parametrize(
    ("drawn", "sentence"),
    [
        ([text("  ")], "The text is empty"),
        ([text("x" * 10_000)], "A text may have 500 characters; this one has 10,000"),
        ([box(20, 70, control="unlike", label="Green")], "need a text or a box that says what is wanted"),
        (
            [frame("point", "keypointlabels") | {"value": {"x": 1, "y": 1, "keypointlabels": ["Stain"]}}],
            "An exemplar is a box: 'point' should be RectangleLabels",
        ),
        ([box(20, 70, label="Rust")], "The label 'Rust' is unknown"),
        ([box(20, 70, side=0)], "A rectangle needs a width and a height"),
        ([text()], "A text area needs a list of texts"),
    ],
)
def test_what_cannot_be_found_is_said_in_one_sentence(client, drawn, sentence):
    assert sentence in refused(client, *drawn)


def test_a_model_that_cannot_names_those_that_can(make_client):
    segmenter = ColourSegmenter()
    client = make_client(segmenter)
    assert refused(client, text("red")) == "The model colour takes no texts; serve sam3 instead."
    assert (
        refused(client, box(20, 70, label="Green")) == "The model colour takes no exemplar boxes; serve sam3 instead."
    )
    assert segmenter.encoded == 0


def test_a_wrong_attribute_is_named(client):
    config = CONFIG.replace('exemplars="negative"', 'exemplars="no"')
    answer = client.post("/predict", json=interactive(text("red"), image=IMAGE, config=config))
    assert answer.status_code == 400
    assert "exemplars of 'unlike' in the labeling config should be" in answer.json()["error"]


def test_exemplars_at_a_tool_that_draws_no_boxes_cost_that_tool_alone(client):
    wrong = '<PolygonLabels name="wrong" toName="image" smart="true" exemplars="positive"><Label value="Stain"/>'
    config = CONFIG.replace("</View>", f"{wrong}</PolygonLabels></View>")
    answer = client.post("/predict", json=interactive(text("red"), image=IMAGE, config=config))
    assert_are(answer.json()["results"][0], "red", ["Stain"])
    outline = frame("wrong", "polygonlabels")
    outline["value"] = {"points": [[1, 1], [9, 1], [9, 9]], "polygonlabels": ["Stain"]}
    answer = client.post("/predict", json=interactive(outline, image=IMAGE, config=config))
    assert "An exemplar is a box: 'wrong' should be RectangleLabels" in answer.json()["error"]


def proposed(client, config, project=None):
    (result,) = client.post("/predict", json=batch(task(IMAGE), config=config, project=project)).json()["results"]
    return sorted(label for region in result["result"] for label in region["value"]["brushlabels"])


def test_without_examples_the_texts_of_the_labels_propose(client):
    assert proposed(client, CONFIG) == ["Green"] * 2 + ["Stain"] * 3
    assert proposed(client, CONFIG.replace('text="red"', 'text=""')) == ["Green"] * 2
    assert proposed(client, CONFIG.replace('text="red"', "")) == ["Green"] * 2


def test_a_model_without_texts_proposes_regions_without_labels(make_client):
    assert proposed(make_client(ColourSegmenter()), CONFIG) == []


def test_a_large_image_is_seen_shrunk(make_client):
    client = make_client(ColourFinder(), large_image_pixels=10_000)
    size = (200, 2500)
    pixels, masks = surface(1, red=[(10, 10)], green=[(400, 60), (2300, 160)], size=size)
    place = {"x": 100 * 400 / 2500, "y": 100 * 60 / 200, "width": 100 * 24 / 2500, "height": 100 * 24 / 200}
    drawn = box(0, 0, label="Green")
    drawn["value"] |= place
    body = interactive(drawn, image=data_url(png(pixels)), config=CONFIG)
    (result,) = client.post("/predict", json=body).json()["results"]
    found = [decode_rle(region["value"]["rle"], size) for region in result["result"]]
    assert len(found) == 2
    for mask in (mask for label, mask in masks if label == "green"):
        assert max(np.sum(mask & one) / np.sum(mask | one) for one in found) > 0.8
