import numpy as np
import pytest
from fastapi.testclient import TestClient

from label_studio_requests import (
    CONFIG,
    HEIGHT,
    WIDTH,
    batch,
    click,
    data_url,
    defect_image,
    interactive,
    png,
    rectangle,
    task,
)
from sam_backend.labelstudio.rle import decode_rle, encode_rle
from services import make_app
from threshold_segmenter import PREDICTED_IOU, SERVED_VERSION, SINGLE_IOU, ThresholdSegmenter


def predict(client, body):
    response = client.post("/predict", json=body)
    assert response.status_code == 200, response.text
    (result,) = response.json()["results"]
    return result


def mask_of(result):
    (region,) = result["result"]
    return decode_rle(region["value"]["rle"], (HEIGHT, WIDTH))


def square(top, left, bottom, right):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


BRIGHT = square(10, 20, 20, 30)
DARK = square(10, 40, 20, 50)


def test_a_click_gives_the_mask_under_it_with_its_label_score_and_version(client):
    result = predict(client, interactive(click(25, 15, "Crack")))
    np.testing.assert_array_equal(mask_of(result), BRIGHT)
    assert result["score"] == pytest.approx(max(PREDICTED_IOU))
    assert result["model_version"] == SERVED_VERSION
    assert result["result"][0]["value"]["brushlabels"] == ["Crack"]


def test_a_rectangle_gives_the_mask_of_its_box(client):
    result = predict(client, interactive(rectangle(15, 5, 35, 25)))
    np.testing.assert_array_equal(mask_of(result), square(5, 15, 25, 35))
    assert result["score"] == pytest.approx(SINGLE_IOU)


def test_a_negative_click_in_a_rectangle_removes_the_mask_under_it(client):
    result = predict(client, interactive(rectangle(15, 5, 35, 25), click(25, 15, positive=False)))
    np.testing.assert_array_equal(mask_of(result), square(5, 15, 25, 35) & ~BRIGHT)


def test_a_second_click_refines_the_answer_to_the_first(client, segmenter):
    predict(client, interactive(click(25, 15)))
    result = predict(client, interactive(click(25, 15), click(45, 15)))
    np.testing.assert_array_equal(mask_of(result), BRIGHT | DARK)
    np.testing.assert_array_equal(segmenter.asked[-1].logits > 0, BRIGHT)
    assert len(segmenter.asked) == 2


def test_a_restarted_service_answers_a_second_click_in_the_same_way(make_settings):
    first, second = interactive(click(25, 15)), interactive(click(25, 15), click(45, 15))
    with TestClient(make_app(ThresholdSegmenter(), make_settings())) as before:
        predict(before, first)
        expected = mask_of(predict(before, second))
    segmenter = ThresholdSegmenter()
    with TestClient(make_app(segmenter, make_settings())) as after:
        np.testing.assert_array_equal(mask_of(predict(after, second)), expected)
    assert segmenter.encoded == 0


def test_an_image_is_encoded_once_per_model_version(make_client, segmenter):
    client = make_client()
    for x in (25, 45, 5):
        predict(client, interactive(click(x, 15)))
    assert segmenter.encoded == 1
    newer = ThresholdSegmenter("threshold-2")
    predict(make_client(newer), interactive(click(25, 15)))
    assert newer.encoded == 1


@pytest.mark.parametrize(
    "drawn", [(), (click(25, 15, positive=False),)], ids=["nothing drawn", "a negative click alone"]
)
def test_without_a_positive_prompt_the_prediction_has_no_regions(client, segmenter, drawn):
    result = predict(client, interactive(*drawn))
    assert segmenter.asked == []
    assert result == {"result": [], "score": 0.0, "model_version": SERVED_VERSION}


def test_an_empty_mask_gives_a_prediction_without_regions(client):
    result = predict(client, interactive(click(25, 15), click(26, 16, positive=False)))
    assert result == {"result": [], "score": 0.0, "model_version": SERVED_VERSION}


def test_only_the_first_task_is_read_and_none_of_its_annotations(client):
    body = interactive(click(25, 15), drafts="no list", annotations=[7], predictions={"rle": "no mask"})
    body["tasks"].append({"id": 2, "data": {"image": "file:///nowhere"}})
    np.testing.assert_array_equal(mask_of(predict(client, body)), BRIGHT)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (interactive(click(25, 15, "Dent")), "'Dent' is unknown"),
        (interactive(click(-5, 15)), "inside the image"),
        (interactive(rectangle(20, 10, 20, 20)), "needs a width and a height"),
        (interactive(rectangle(70, 10, 80, 20)), "must overlap the image"),
        (interactive(click(25, 15), image="data:image/png;base64,aGVsbG8="), "is not an image"),
        (interactive(click(25, 15), config="<View><Image"), "not valid XML"),
        (interactive(click(25, 15), config=CONFIG.replace("$image", "$photo")), "field 'photo'"),
        (interactive(click(25, 15), config="<View><Text name='a' value='$a'/></View>"), "no <Image> tag"),
        (interactive(click(25, 15), image="/data/upload/1/x.png"), "SAM_INSPECT_LABEL_STUDIO_URL"),
        (interactive(click(25, 15), image="file:///etc/passwd"), "cannot be followed"),
        ({**interactive(click(25, 15)), "tasks": []}, "at least 1 item"),
        ({**interactive(click(25, 15)), "tasks": {"id": 1}}, "'tasks' is not as expected"),
        ({"tasks": [task()], "params": {}}, "needs 'label_config'"),
        ({**interactive(), "params": {"context": {"result": "a click"}}}, "'params.context.result'"),
        ([], "not as expected"),
        ({**batch(task()), "tasks": [7]}, "'tasks.0'"),
    ],
)  # fmt: skip
def test_a_bad_request_is_answered_with_one_sentence_and_the_service_goes_on(client, body, sentence):
    response = client.post("/predict", json=body)
    assert response.status_code == 400
    assert sentence in response.json()["error"]
    assert response.json()["error"].count("\n") == 0
    assert "Traceback" not in response.text
    np.testing.assert_array_equal(mask_of(predict(client, interactive(click(25, 15)))), BRIGHT)


PAGES = CONFIG.replace('value="$image"', 'valueList="$pages"')


def on_page(number, *drawn):
    """Regions on an image of a list."""
    return [{**region, "item_index": number} for region in drawn]


def ask_pages(client, *drawn, pages):
    body = interactive(*drawn, config=PAGES)
    body["tasks"][0]["data"] = {"pages": pages}
    return client.post("/predict", json=body)


def flipped():
    return data_url(png(defect_image()[:, ::-1].copy()))


def test_clicks_on_another_page_do_not_count(client, segmenter, caplog):
    caplog.set_level("INFO")
    pages = [data_url(png(defect_image())), flipped()]
    drawn = [*on_page(0, click(25, 15)), *on_page(1, click(35, 15))]

    result = ask_pages(client, *drawn, pages=pages).json()["results"][0]

    # The bright square lies at columns 30 to 40 of the flipped image.
    np.testing.assert_array_equal(mask_of(result), square(10, 30, 20, 40))
    assert [region["item_index"] for region in result["result"]] == [1]
    assert len(segmenter.asked[-1].points) == 1
    assert "prompt=1+0- page=image[1]" in caplog.text


def test_a_page_that_the_task_lacks_is_refused(client):
    response = ask_pages(client, *on_page(2, click(25, 15)), pages=[flipped(), flipped()])
    assert response.status_code == 400
    assert "has 2 images; it was asked for number 3 of 'image'" in response.json()["error"]


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_an_answer_on_a_turned_image_is_upright_and_says_how_the_page_shows_it(client, rotation):
    result = predict(client, interactive({**click(25, 15), "image_rotation": rotation}))
    np.testing.assert_array_equal(mask_of(result), BRIGHT)
    assert result["result"][0]["image_rotation"] == rotation


def test_a_label_that_only_another_kind_of_control_knows_is_answered_by_that_control(client):
    config = CONFIG.replace('<BrushLabels name="brush" toName="image"><Label value="Blowhole"/><Label value="Crack"/>',
                            '<BrushLabels name="brush" toName="image"><Label value="Blowhole"/>')  # fmt: skip
    (region,) = predict(client, interactive(click(25, 15, "Crack"), config=config))["result"]
    assert (region["from_name"], region["value"]["rectanglelabels"]) == ("rect", ["Crack"])


SIDE_BY_SIDE = CONFIG.replace(
    "</View>",
    '<PolygonLabels name="outline" toName="image"><Label value="Crack"/></PolygonLabels>'
    '<KeyPointLabels name="outline-click" toName="image" smart="true" output="outline"><Label value="Crack"/>'
    "</KeyPointLabels></View>",
)


def polygon(*points, from_name="outline"):
    corners = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in points]
    value = {"points": corners, "closed": True, "polygonlabels": ["Crack"]}
    return rectangle(0, 0, 1, 1) | {"type": "polygonlabels", "from_name": from_name, "value": value}


def stroke(mask):
    value = {"format": "rle", "rle": encode_rle(mask), "brushlabels": ["Crack"]}
    return rectangle(0, 0, 1, 1) | {"type": "brushlabels", "from_name": "brush", "value": value}


@pytest.mark.parametrize(
    ("drawn", "answered_by"),
    [
        (polygon((15, 5), (36, 7), (25, 25)), ("outline", "polygonlabels")),
        (stroke(BRIGHT), ("brush", "brushlabels")),
        (click(25, 15, "Crack"), ("brush", "brushlabels")),
        (click(25, 15, "Crack") | {"from_name": "outline-click"}, ("outline", "polygonlabels")),
        (rectangle(15, 5, 35, 25), ("brush", "brushlabels")),
    ],
    ids=["polygon", "stroke", "click", "click for polygons", "box"],
)
def test_a_polygon_and_a_brush_stand_side_by_side(client, drawn, answered_by):
    (region,) = predict(client, interactive(drawn, config=SIDE_BY_SIDE))["result"]
    assert (region["from_name"], region["type"]) == answered_by
    assert region["value"][region["type"]] == ["Crack"]


def test_what_was_drawn_goes_in_with_its_box_or_with_points_along_it(client, segmenter):
    predict(client, interactive(polygon((15, 5), (36, 7), (25, 25)), config=SIDE_BY_SIDE))
    outlined = segmenter.asked[-1]
    assert outlined.drawn.box == (15, 5, 36, 24)
    assert outlined.box is not None
    segmenter.asked.clear()
    line = square(14, 20, 17, 50)
    predict(client, interactive(stroke(line)))
    np.testing.assert_array_equal(segmenter.asked[0].drawn.mask, line)
    assert segmenter.asked[0].box is None


@pytest.mark.parametrize(
    ("drawn", "sentence"),
    [
        (stroke(square(0, 0, 0, 0)), "The stroke has no pixels; draw it again, or click."),
        (polygon((15, 5), (36, 7)), "A polygon needs at least three points; it has 2. Draw it again."),
    ],
    ids=["stroke", "polygon"],
)
def test_what_encloses_nothing_is_refused_with_one_sentence(client, drawn, sentence):
    response = client.post("/predict", json=interactive(drawn, config=SIDE_BY_SIDE))
    assert (response.status_code, response.json()["error"]) == (400, sentence)


def test_the_tolerance_of_polygons_is_a_setting(make_client):
    body = interactive(polygon((15, 5), (36, 7), (25, 25)), config=SIDE_BY_SIDE)
    with make_client("nano", polygon_tolerance=0.0) as exact, make_client("nano", polygon_tolerance=4.0) as coarse:
        fine, rough = (len(predict(client, body)["result"][0]["value"]["points"]) for client in (exact, coarse))
    assert fine > rough
