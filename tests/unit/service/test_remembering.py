"""Webhooks make examples, and predictions use them."""

import itertools
from dataclasses import replace

import pytest

from annotation_events import ASKED, CONFIG, PROJECT_BODY, TAUGHT, deleted, event, region, task
from colour_segmenter import ColourSegmenter, surface
from label_studio_requests import PROJECT, batch, click, data_url, interactive, png
from sam_backend.labelstudio.messages import Event, parse_message
from sam_backend.labelstudio.rle import decode_rle
from three_masks import ThreeMasks
from threshold_segmenter import ThresholdSegmenter

TIMEOUT = 60


@pytest.fixture
def client(make_client):
    return make_client(ColourSegmenter())


def send(client, *events):
    for body in events:
        response = client.post("/webhook", json=body)
        assert response.status_code == 200, response.text
        assert response.json()["status"] == "remembered"
    assert client.app.state.backend.learner.wait(TIMEOUT)


def labels(client, image=ASKED[0], config=CONFIG):
    response = client.post("/predict", json=batch(task(9, image), config=config, project=PROJECT))
    assert client.app.state.backend.learner.wait(TIMEOUT)
    (result,) = response.json()["results"]
    return sorted(tuple(region["value"].get("brushlabels", [])) for region in result["result"])


def test_an_accepted_annotation_makes_labelled_pre_annotations(client):
    send(client, event("ANNOTATION_CREATED"))
    (result,) = client.post("/predict", json=batch(task(9, ASKED[0]), config=CONFIG)).json()["results"]
    regions = {region["value"]["brushlabels"][0]: region for region in result["result"]}
    for label, mask in ASKED[1]:
        drawn = decode_rle(regions[label]["value"]["rle"], mask.shape)
        assert (drawn & mask).sum() / (drawn | mask).sum() > 0.85
        assert 0.5 < regions[label]["score"] <= 1
    assert 0.5 < result["score"] <= 1
    assert result["model_version"].startswith("colour-1-")


def enlarged(drawn):
    """An image with masks, each of three times the height and width."""
    image, masks = drawn
    return image.repeat(3, 0).repeat(3, 1), [(label, mask.repeat(3, 0).repeat(3, 1)) for label, mask in masks]


def test_what_is_accepted_on_a_large_image_is_learnt_and_proposed_on_its_tiles(make_client):
    client = make_client(ColourSegmenter(), large_image_pixels=1_000_000)
    image, masks = enlarged(surface(1, red=[(500, 300)], size=(370, 600)))
    send(client, event("ANNOTATION_CREATED", image=image, masks=masks))

    other, expected = enlarged(surface(2, red=[(100, 70), (550, 270)], size=(370, 600)))
    (result,) = client.post("/predict", json=batch(task(9, other), config=CONFIG)).json()["results"]

    drawn = [decode_rle(region["value"]["rle"], expected[0][1].shape) for region in result["result"]]
    assert {tuple(region["value"]["brushlabels"]) for region in result["result"]} == {("red",)}
    for _, mask in expected:
        assert max((one & mask).sum() / (one | mask).sum() for one in drawn) > 0.7


def test_events_in_any_order_and_twice_lead_to_the_same_pre_annotations(make_client, make_settings):
    events = [
        event("ANNOTATION_CREATED"),
        event("ANNOTATION_UPDATED", second=5, masks=TAUGHT[1][:1]),
        event("ANNOTATION_CREATED", number=2, second=1),
        deleted(2),
    ]
    seen = set()
    for number, order in enumerate(itertools.permutations(events)):
        client = make_client(ColourSegmenter())
        send(client, *order, *order[:2])
        project = make_settings().home / "memory" / PROJECT
        seen.add(str([path.read_text() for path in sorted(project.glob("annotations/*.json"))]))
        assert sorted(path.name for path in project.glob("examples/*/*.npz")) == ["1.npz"]
        if number == 0:
            assert labels(client) == [("red",)]
        client.app.state.backend.memories.of(PROJECT).store.forget()
    assert len(seen) == 1


def test_a_large_event_leads_to_the_same_records_as_a_small_one(make_client, make_settings):
    kept = []
    for more in ({}, {"more": "x" * 2**18}):
        client = make_client(ColourSegmenter())
        send(client, event("ANNOTATION_CREATED") | more)
        (record,) = (make_settings().home / "memory" / PROJECT).glob("annotations/*.json")
        kept.append(record.read_text())
        client.app.state.backend.memories.of(PROJECT).store.forget()
    assert kept[0] == kept[1]


def test_updating_an_annotation_replaces_its_examples_and_deleting_it_removes_them(client):
    send(client, event("ANNOTATION_CREATED"))
    assert labels(client) == [("green",), ("red",)]
    send(client, event("ANNOTATION_UPDATED", second=1, masks=TAUGHT[1][1:]))
    assert labels(client) == [("green",)]
    send(client, deleted(1))
    # Without examples the masks are those of everything, without labels.
    assert ("green",) not in labels(client)


def test_skipped_annotations_and_deleted_tasks_give_no_examples(client):
    send(client, event("ANNOTATION_CREATED"), event("ANNOTATION_UPDATED", second=1, was_cancelled=True))
    assert ("red",) not in labels(client)
    send(client, event("ANNOTATION_CREATED", number=2))
    assert ("red",) in labels(client)
    send(client, {"action": "TASKS_DELETED", "tasks": [{"id": 2}], "project": PROJECT_BODY})
    assert ("red",) not in labels(client)


def test_boxes_without_a_mask_are_no_examples_of_background(client):
    box = {**region("red", TAUGHT[1][0][1]), "type": "rectanglelabels", "from_name": "box"}
    box["value"] = {"x": 10, "y": 10, "width": 5, "height": 5, "rotation": 0, "rectanglelabels": ["red"]}
    send(client, event("ANNOTATION_CREATED", result=[box]))
    (record,) = client.app.state.backend.memories.of(PROJECT).store.heads()
    assert record.left_out == "it has boxes or points, but no mask"


BOXES = """<View><Image name="image" value="$image"/>
  <RectangleLabels name="box" toName="image" smart="true"><Label value="red"/><Label value="green"/></RectangleLabels>
  <KeyPointLabels name="click" toName="image" smart="true"><Label value="red"/></KeyPointLabels></View>"""


def drawn_box(label, mask, *, margin):
    """Return the region of a box whose sides are `margin` pixels outside of a mask's."""
    (rows, columns), (height, width) = mask.nonzero(), mask.shape
    left, top = columns.min() - margin, rows.min() - margin
    value = {"x": 100 * left / width, "y": 100 * top / height, "rotation": 0, "rectanglelabels": [label]}
    value |= {
        "width": 100 * (columns.max() + 1 + margin - left) / width,
        "height": 100 * (rows.max() + 1 + margin - top) / height,
    }
    return region(label, mask) | {"type": "rectanglelabels", "from_name": "box", "value": value}


def test_accepted_boxes_are_learnt_and_proposed_as_boxes(client):
    boxes = [drawn_box(label, mask, margin=12) for label, mask in TAUGHT[1]]
    send(client, event("ANNOTATION_CREATED", result=boxes, config=BOXES))
    (result,) = client.post("/predict", json=batch(task(9, ASKED[0]), config=BOXES)).json()["results"]
    found = {one["value"]["rectanglelabels"][0]: one for one in result["result"]}
    for label, mask in ASKED[1]:
        expected = drawn_box(label, mask, margin=0)["value"]
        assert found[label]["type"] == "rectanglelabels"
        for side in ("x", "y", "width", "height"):
            assert found[label]["value"][side] == pytest.approx(expected[side], abs=1.5)


def test_a_model_without_boxes_learns_the_pixels_of_accepted_boxes(make_client, monkeypatch):
    monkeypatch.setattr(ColourSegmenter, "info", replace(ColourSegmenter.info, prompts=frozenset({"points"})))
    client = make_client(ColourSegmenter())
    boxes = [drawn_box(label, mask, margin=0) for label, mask in TAUGHT[1]]
    send(client, event("ANNOTATION_CREATED", result=boxes, config=BOXES))
    (result,) = client.post("/predict", json=batch(task(9, ASKED[0]), config=BOXES)).json()["results"]
    assert {one["value"]["rectanglelabels"][0] for one in result["result"]} == {"red", "green"}


def test_the_memory_survives_a_restart(make_client):
    send(make_client(ColourSegmenter()), event("ANNOTATION_CREATED"))
    assert labels(make_client(ColourSegmenter())) == [("green",), ("red",)]


def test_another_version_of_the_model_learns_the_annotations_again(make_client):
    send(make_client(ColourSegmenter()), event("ANNOTATION_CREATED"))
    client = make_client(ColourSegmenter("colour-2"))
    labels(client)
    assert labels(client) == [("green",), ("red",)]


def test_a_label_that_was_removed_from_the_config_is_not_predicted(client, caplog):
    send(client, event("ANNOTATION_CREATED"))
    assert labels(client, config=CONFIG.replace('<Label value="green"/>', "")) == [("red",)]
    assert "no green (any more)" in caplog.text


def test_annotations_stored_by_another_process_are_learnt_when_predictions_are_requested(client, make_client):
    other_learner = make_client(ColourSegmenter()).app.state.backend.learner
    updated = event("ANNOTATION_UPDATED", second=1, masks=TAUGHT[1][1:])
    for stored, expected in ((event("ANNOTATION_CREATED"), [("green",), ("red",)]), (updated, [("green",)])):
        assert other_learner.handle(parse_message(stored, Event), learn=False)
        assert other_learner.wait(0)
        # The first request starts the learning.
        labels(client)
        assert labels(client) == expected


def test_annotations_stored_by_another_process_are_learnt_after_a_click(client, make_client):
    other_learner = make_client(ColourSegmenter()).app.state.backend.learner
    assert other_learner.handle(parse_message(event("ANNOTATION_CREATED"), Event), learn=False)
    assert client.post("/predict", json=interactive(click(25, 15))).status_code == 200
    assert client.app.state.backend.learner.wait(TIMEOUT)
    assert labels(client) == [("green",), ("red",)]


def test_a_lone_click_takes_the_mask_that_looks_like_what_was_accepted_under_its_label(make_client):
    client = make_client(ThreeMasks())
    config = CONFIG.replace(
        "</View>", '<KeyPointLabels name="kp" toName="image" smart="true">{}</KeyPointLabels></View>'
    )
    config = config.format('<Label value="red"/><Label value="green"/>')
    image, ((_, square), _) = surface(2, red=[(90, 80)], green=[(30, 20)])
    size = {"original_height": image.shape[0], "original_width": image.shape[1]}

    def covered():
        drawn = click(1, 1, "red") | size
        drawn["value"] |= {"x": 100 * 102 / image.shape[1], "y": 100 * 92 / image.shape[0]}
        body = interactive(drawn, image=data_url(png(image)), config=config)
        (result,) = client.post("/predict", json=body).json()["results"]
        return decode_rle(result["result"][0]["value"]["rle"], image.shape[:2])

    assert covered().all()
    send(client, event("ANNOTATION_CREATED"))
    assert (covered() == square).all()


def test_another_projects_examples_are_not_used(client):
    send(client, event("ANNOTATION_CREATED"))
    body = batch(task(9, ASKED[0]), config=CONFIG, project="2.1795411201")
    (result,) = client.post("/predict", json=body).json()["results"]
    assert all(region["value"]["brushlabels"] == [] for region in result["result"])


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (
            {"image": "/data/upload/1/gone.png"},
            "Annotation 2 of task 2 is not learnt: The image /data/upload/1/gone.png",
        ),
        ({"image": surface(1, size=(60, 60))[0]}, "Annotation 2 of task 2 is left out: It has a mask of 160 x 120"),
        ({"config": "<View/>"}, "Annotation 2 of task 2 is left out: The labeling config has no <Image>"),
    ],
    ids=["a task that is gone", "masks of another size", "a config without masks"],
)
def test_a_faulty_event_is_one_log_line_and_its_request_succeeds(client, caplog, fault, line):
    send(client, event("ANNOTATION_CREATED"))
    response = client.post("/webhook", json=event("ANNOTATION_CREATED", number=2, **fault))
    assert response.status_code == 200
    assert client.app.state.backend.learner.wait(TIMEOUT)
    assert labels(client) == [("green",), ("red",)]
    assert len([message for message in caplog.messages if line in message]) == 1


def test_a_model_without_features_still_proposes_masks(make_client, caplog):
    client = make_client(ThresholdSegmenter())
    send(client, event("ANNOTATION_CREATED"))
    assert "features of nano or sam" in caplog.text
    assert labels(client)


def test_other_events_are_ignored(client):
    answer = client.post("/webhook", json={"action": "PROJECT_UPDATED", "project": PROJECT_BODY}).json()
    assert answer["status"] == "ignored"


@pytest.mark.parametrize("action", ["ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED", "TASKS_DELETED"])
@pytest.mark.parametrize("project", [{}, {"project": PROJECT_BODY}])
def test_an_event_without_its_payload_is_refused_and_not_said_to_be_remembered(client, action, project):
    response = client.post("/webhook", json={"action": action} | project)
    assert response.status_code == 400
    assert "Send payload" in response.json()["error"]
