import itertools
from functools import wraps
from types import SimpleNamespace

import numpy as np
import pytest
from fastapi.testclient import TestClient

from label_studio_requests import batch, data_url, defect_image, png, task
from sam_backend.core import deadline_segmenter, predictor
from sam_backend.core.proposed_masks import MAX_PROPOSALS
from sam_backend.errors import BadRequestError
from sam_backend.pipeline.sources import Everything
from services import make_app
from threshold_segmenter import SERVED_VERSION, ThresholdSegmenter


def predict(client, body):
    response = client.post("/predict", json=body)
    assert response.status_code == 200, response.text
    return response.json()["results"]


def test_every_task_gets_a_prediction_of_the_objects_in_it(client):
    results = predict(client, batch(task(number=1), task(number=2)))
    assert len(results) == 2
    for result in results:
        # The two squares; the surface around them is too large for an object.
        assert len(result["result"]) >= 2
        assert 0.7 <= result["score"] <= 1
        assert result["model_version"] == SERVED_VERSION
        assert all(region["type"] == "brushlabels" for region in result["result"])


def test_a_prediction_has_at_most_as_many_regions_as_an_annotator_can_check(client):
    # 64 patches of different brightness: without the limit, all would be proposed.
    patches = np.kron(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4, np.ones((8, 8), np.uint8))
    (result,) = predict(client, batch(task(data_url(png(patches)))))
    assert len(result["result"]) == MAX_PROPOSALS


def test_a_broken_task_does_not_affect_the_others(client, caplog):
    broken = [task("data:image/png;base64,aGVsbG8=", 2), {"id": 3}, task("file:///etc/passwd", 4)]
    results = predict(client, batch(task(number=1), *broken, task(number=5)))
    assert [bool(result["result"]) for result in results] == [True, False, False, False, True]
    assert results[1] == {"result": [], "score": 0.0, "model_version": SERVED_VERSION}
    for number, reason in ((2, "is not an image"), (3, "field 'image'"), (4, "cannot be followed")):
        assert any(f"Task {number} " in line and reason in line for line in caplog.messages)


def test_a_bug_of_the_model_does_not_affect_the_other_tasks(client, segmenter, monkeypatch, caplog):
    encode = segmenter.encode
    monkeypatch.setattr(segmenter, "encode", lambda image: 1 / 0 if image[0, 0, 0] == 0 else encode(image))
    dark = task(data_url(png(np.zeros((8, 8, 3), np.uint8))), 1)
    results = predict(client, batch(dark, task(number=2)))
    # Label Studio keeps an empty prediction and asks again where there is none.
    assert results[0] == []
    assert results[1]["result"]
    assert "ZeroDivisionError" in caplog.text


@pytest.fixture
def hurried(monkeypatch):
    """Let every reading of the clock take a 40th of the budget; an image needs 19 readings."""
    ticks = itertools.count(0, predictor.BUDGET / 40)
    for module in (predictor, deadline_segmenter):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(ticks)))


@pytest.mark.usefixtures("hurried")
def test_tasks_that_are_not_reached_in_time_get_no_prediction(client, caplog):
    images = [data_url(png(defect_image()[:, : 60 - number])) for number in range(5)]
    results = predict(client, batch(*(task(image, number) for number, image in enumerate(images))))
    assert len(results) == 5
    assert results[0]["result"]
    assert results[-1] == []
    assert "of 5 tasks were not reached" in caplog.text


@pytest.mark.usefixtures("hurried")
def test_images_that_cannot_be_fetched_count_against_the_time(client):
    results = predict(client, batch(*(task("data:image/png;base64,aGVsbG8=", number) for number in range(50))))
    assert len(results) == 50
    assert results[0]["result"] == []
    assert results[-1] == []


@pytest.mark.parametrize("context", [None, {}], ids=["null", "empty"])
def test_a_request_without_a_drawn_prompt_is_a_batch(client, context):
    body = batch(task(number=1), task(number=2))
    body["params"]["context"] = context
    assert len(predict(client, body)) == 2


def test_a_batch_ends_early_when_the_service_stops(make_settings):
    with TestClient(make_app(ThresholdSegmenter(), make_settings())) as client:
        assert predict(client, batch(task()))[0]["result"]
    assert predict(client, batch(task(number=1), task(number=2))) == [[], []]


TWO_TAGS = """<View><Image name="front" value="$front"/><Image name="back" value="$back"/>
<BrushLabels name="a" toName="front"><Label value="Crack"/></BrushLabels>
<PolygonLabels name="b" toName="back"><Label value="Crack"/></PolygonLabels></View>"""
PAGES = """<View><Image name="image" valueList="$pages"/>
<BrushLabels name="mask" toName="image"><Label value="Crack"/></BrushLabels></View>"""
GOOD, FLAT = data_url(png(defect_image())), data_url(png(np.full((40, 60, 3), 90, np.uint8)))
BROKEN = "data:image/png;base64,aGVsbG8="


def places(client, data, config):
    (result,) = predict(client, batch({"id": 1, "data": data}, config=config))
    return {(region["to_name"], region["from_name"], region.get("item_index")) for region in result["result"]}, result


def test_every_image_of_a_task_gets_its_regions(client):
    found, result = places(client, {"front": GOOD, "back": GOOD}, TWO_TAGS)
    assert found == {("front", "a", None), ("back", "b", None)}
    assert len(result["result"]) >= 4
    assert 0.7 <= result["score"] <= 1

    assert places(client, {"pages": [GOOD, GOOD]}, PAGES)[0] == {("image", "mask", 0), ("image", "mask", 1)}


def test_an_image_of_a_list_that_cannot_be_used_is_named_and_costs_only_itself(client, caplog):
    assert places(client, {"pages": [BROKEN, GOOD, 7]}, PAGES)[0] == {("image", "mask", 1)}
    assert "Task 1: its image image[0] gets no regions: " in caplog.text
    assert "Task 1: its image image[2] gets no regions: " in caplog.text

    assert places(client, {"back": GOOD}, TWO_TAGS)[0] == {("back", "b", None)}
    assert "Task 1: its image front gets no regions: The labeling config takes the image from the field" in caplog.text


def test_a_task_none_of_whose_images_can_be_used_gets_an_empty_prediction_with_the_reason(client, caplog):
    assert places(client, {"pages": [BROKEN, BROKEN]}, PAGES)[1]["result"] == []
    assert places(client, {"pages": []}, PAGES)[1]["result"] == []
    assert "Task 1 gets an empty prediction: The task has no image: its list of images is empty." in caplog.text


@pytest.mark.usefixtures("hurried")
def test_of_a_first_task_with_too_many_images_those_reached_in_time_get_regions(client, caplog):
    images = [data_url(png(defect_image()[:, : 60 - number])) for number in range(5)]
    body = batch({"id": 1, "data": {"pages": images}}, task(number=2), config=PAGES)
    first, second = predict(client, body)
    reached = {region["item_index"] for region in first["result"]}
    assert 0 in reached
    assert 4 not in reached
    assert second == []
    assert f"Task 1: only its first {max(reached) + 1} images were reached in time" in caplog.text


def test_a_pipeline_proposes_in_place_of_the_project(make_client, tmp_path, caplog):
    file = tmp_path / "line.toml"
    file.write_text('[[step]]\nuse = "everything"\n[[step]]\nuse = "filter"\nlimit = 1\n')
    (result,) = predict(make_client(pipeline=file), batch(task()))
    assert len(result["result"]) == 1
    file.write_text('[[step]]\nuse = "everything"\n[[step]]\nuse = "relabel"\nnames = {}\nothers = "Unknown"\n')
    (result,) = predict(make_client(pipeline=file), batch(task()))
    assert result["result"] == []
    assert "masks are left out, because the labeling config does not have their labels Unknown" in caplog.text


def test_a_pipeline_that_the_model_cannot_follow_is_refused_at_the_start(make_client, tmp_path):
    file = tmp_path / "line.toml"
    file.write_text('[[step]]\nuse = "text"\ntexts = { Pit = "a pit" }\n')
    with pytest.raises(BadRequestError, match="The model threshold takes no texts"):
        make_client(pipeline=file)


def test_a_step_that_fails_leaves_the_task_without_a_prediction_for_another_time(
    make_client, tmp_path, monkeypatch, caplog
):
    def fails(scene, **options):
        raise ValueError("no luck")

    monkeypatch.setattr(Everything, "__call__", wraps(Everything.__call__)(fails))
    file = tmp_path / "line.toml"
    file.write_text('[[step]]\nuse = "everything"\n')
    assert predict(make_client(pipeline=file), batch(task())) == [[]]
    assert "Pipeline line, step 1: The step everything failed with" in caplog.text
