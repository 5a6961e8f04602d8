"""What webhooks teach, and what Label Studio then gets when it asks for predictions."""

import itertools

import pytest

from annotation_events import ASKED, CONFIG, PROJECT_BODY, TAUGHT, deleted, event, region, task
from colour_segmenter import ColourSegmenter, surface
from label_studio_requests import PROJECT, batch, click, interactive
from sam_backend.labelstudio.messages import Event, parse_message
from sam_backend.labelstudio.rle import decode_rle
from threshold_segmenter import ThresholdSegmenter

PATIENCE = 60


@pytest.fixture
def client(make_client):
    return make_client(ColourSegmenter())


def tell(client, *events):
    for each in events:
        response = client.post("/webhook", json=each)
        assert response.status_code == 200, response.text
        assert response.json()["status"] == "remembered"
    assert client.app.state.backend.learner.wait(PATIENCE)


def labels(client, image=ASKED[0], config=CONFIG):
    response = client.post("/predict", json=batch(task(9, image), config=config, project=PROJECT))
    assert client.app.state.backend.learner.wait(PATIENCE)
    (result,) = response.json()["results"]
    return sorted(tuple(region["value"].get("brushlabels", [])) for region in result["result"])


def test_an_accepted_annotation_makes_labelled_pre_annotations(client):
    tell(client, event("ANNOTATION_CREATED"))
    (result,) = client.post("/predict", json=batch(task(9, ASKED[0]), config=CONFIG)).json()["results"]
    found = {region["value"]["brushlabels"][0]: region for region in result["result"]}
    for label, mask in ASKED[1]:
        drawn = decode_rle(found[label]["value"]["rle"], mask.shape)
        assert (drawn & mask).sum() / (drawn | mask).sum() > 0.85
        assert 0.5 < found[label]["score"] <= 1
    assert 0.5 < result["score"] <= 1
    assert result["model_version"] == "colour-1"


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
        tell(client, *order, *order[:2])
        project = make_settings().home / "memory" / PROJECT
        seen.add(str([path.read_text() for path in sorted(project.glob("annotations/*.json"))]))
        assert sorted(path.name for path in project.glob("examples/*/*.npz")) == ["1.npz"]
        if number == 0:
            assert labels(client) == [("red",)]
        client.app.state.backend.memories.of(PROJECT).store.forget()
    assert len(seen) == 1


def test_an_updated_annotation_replaces_its_examples_and_a_deleted_one_takes_them_along(client):
    tell(client, event("ANNOTATION_CREATED"))
    assert labels(client) == [("green",), ("red",)]
    tell(client, event("ANNOTATION_UPDATED", second=1, masks=TAUGHT[1][1:]))
    assert labels(client) == [("green",)]
    tell(client, deleted(1))
    # Without examples the masks are those of everything, without labels.
    assert ("green",) not in labels(client)


def test_a_skipped_annotation_and_a_deleted_task_teach_nothing(client):
    tell(client, event("ANNOTATION_CREATED"), event("ANNOTATION_UPDATED", second=1, was_cancelled=True))
    assert ("red",) not in labels(client)
    tell(client, event("ANNOTATION_CREATED", number=2))
    assert ("red",) in labels(client)
    tell(client, {"action": "TASKS_DELETED", "tasks": [{"id": 2}], "project": PROJECT_BODY})
    assert ("red",) not in labels(client)


def test_boxes_without_a_mask_make_no_background_of_what_they_show(client):
    box = {**region("red", TAUGHT[1][0][1]), "type": "rectanglelabels", "from_name": "box"}
    box["value"] = {"x": 10, "y": 10, "width": 5, "height": 5, "rotation": 0, "rectanglelabels": ["red"]}
    tell(client, event("ANNOTATION_CREATED", result=[box]))
    (record,) = client.app.state.backend.memories.of(PROJECT).store.heads()
    assert record.left_out == "it has boxes or points, but no mask"


def test_the_memory_survives_a_restart(make_client):
    tell(make_client(ColourSegmenter()), event("ANNOTATION_CREATED"))
    assert labels(make_client(ColourSegmenter())) == [("green",), ("red",)]


def test_another_version_of_the_model_learns_anew_what_was_accepted(make_client):
    tell(make_client(ColourSegmenter()), event("ANNOTATION_CREATED"))
    client = make_client(ColourSegmenter("colour-2"))
    labels(client)
    assert labels(client) == [("green",), ("red",)]


def test_a_label_that_left_the_config_is_not_predicted(client, caplog):
    tell(client, event("ANNOTATION_CREATED"))
    assert labels(client, config=CONFIG.replace('<Label value="green"/>', "")) == [("red",)]
    assert "no green (any more)" in caplog.text


def test_what_another_process_heard_of_is_learnt_when_predictions_are_asked_for(client, make_client):
    ending = make_client(ColourSegmenter()).app.state.backend.learner
    updated = event("ANNOTATION_UPDATED", second=1, masks=TAUGHT[1][1:])
    for heard, expected in ((event("ANNOTATION_CREATED"), [("green",), ("red",)]), (updated, [("green",)])):
        assert ending.handle(parse_message(heard, Event), learn=False)
        assert ending.wait(0)
        # The first to ask sets the model to work.
        labels(client)
        assert labels(client) == expected


def test_what_another_process_heard_of_is_learnt_while_people_draw(client, make_client):
    ending = make_client(ColourSegmenter()).app.state.backend.learner
    assert ending.handle(parse_message(event("ANNOTATION_CREATED"), Event), learn=False)
    assert client.post("/predict", json=interactive(click(25, 15))).status_code == 200
    assert client.app.state.backend.learner.wait(PATIENCE)
    assert labels(client) == [("green",), ("red",)]


def test_another_projects_examples_are_not_used(client):
    tell(client, event("ANNOTATION_CREATED"))
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
        ({"config": "<View/>"}, "ANNOTATION_CREATED is not remembered: The labeling config has no <Image>"),
    ],
    ids=["a task that is gone", "masks of another size", "a config without masks"],
)
def test_a_fault_costs_one_line_and_never_the_request(client, caplog, fault, line):
    tell(client, event("ANNOTATION_CREATED"))
    response = client.post("/webhook", json=event("ANNOTATION_CREATED", number=2, **fault))
    assert response.status_code == 200
    assert client.app.state.backend.learner.wait(PATIENCE)
    assert labels(client) == [("green",), ("red",)]
    assert len([each for each in caplog.messages if line in each]) == 1


def test_a_model_without_features_proposes_as_before(make_client, caplog):
    client = make_client(ThresholdSegmenter())
    tell(client, event("ANNOTATION_CREATED"))
    assert "features of nano or sam" in caplog.text
    assert labels(client)


def test_other_events_are_ignored(client):
    answer = client.post("/webhook", json={"action": "PROJECT_UPDATED", "project": PROJECT_BODY}).json()
    assert answer["status"] == "ignored"
    assert client.post("/webhook", json={"action": "ANNOTATION_CREATED"}).json()["status"] == "ignored"
