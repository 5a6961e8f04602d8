"""An annotation that was begun with a prediction is compared with it, which Label Studio is asked for."""

import json

import numpy as np
import pytest

from annotation_events import CONFIG, PROJECT_BODY, TAUGHT, event, region
from colour_segmenter import ColourSegmenter
from label_studio_requests import PROJECT, data_url, png
from loopback import send, serving
from tokens import LEGACY

RED, GREEN = (mask for _, mask in TAUGHT[1])


def moved(mask):
    return np.roll(mask, 3, axis=1)


class LabelStudio:
    """A Label Studio with one prediction of task 1, which `predict` changes."""

    def __init__(self, server):
        self.server = server
        server.routes["/api/projects/1/"] = json.dumps(PROJECT_BODY).encode()
        self.predict([region("red", RED), region("green", GREEN)])

    def predict(self, result, number=17):
        answer = [{"id": number, "model_version": "colour-1-x", "result": result}, {"id": 5, "result": []}]
        self.server.routes["/api/predictions/"] = json.dumps(answer).encode()


@pytest.fixture
def studio():
    with serving() as server:
        yield LabelStudio(server)


@pytest.fixture
def client(make_client, studio):
    client = make_client(ColourSegmenter())
    setup = {"project": PROJECT, "schema": CONFIG, "hostname": studio.server.url, "access_token": LEGACY}
    assert client.post("/setup", json=setup).status_code == 200
    return client


def accept(client, *regions, prediction=17, lead_time=12.5, action="ANNOTATION_CREATED", **more):
    body = event(action, parent_prediction=prediction, lead_time=lead_time, **more)
    body["annotation"]["result"] = list(regions)
    assert client.post("/webhook", json=body).status_code == 200
    assert client.app.state.backend.learner.wait(60)


def store(client):
    return client.app.state.backend.memories.of(PROJECT).store


def compared(client):
    return {number: one.outcomes | {} for number, one in store(client).agreement.all().items()}


def kept(client):
    return store(client).agreement.all()[1]


def metric(client, outcome):
    line = f'sam_inspect_proposals_total{{outcome="{outcome}",project="{PROJECT}"}} '
    text = client.get("/metrics").text
    return next((float(one.rpartition(" ")[2]) for one in text.splitlines() if one.startswith(line)), 0.0)


def test_each_proposal_is_unchanged_moved_relabelled_or_deleted(client):
    accept(client, region("red", RED), region("blue", moved(GREEN)) | {"id": "green"}, region("new", moved(RED)))
    one = kept(client)
    counts = {outcome: number for outcome, number in one.outcomes.items() if number}
    assert counts == {"unchanged": 1, "moved": 1, "added": 1}
    assert one.model == "colour-1-x"
    iou = (GREEN & moved(GREEN)).sum() / (GREEN | moved(GREEN)).sum()
    assert one.ious == [1.0, round(float(iou), 4)]
    assert [metric(client, name) for name in ("unchanged", "moved", "added", "deleted")] == [1, 1, 1, 0]


def test_one_pixel_more_is_a_moved_region(client):
    drawn = RED.copy()
    drawn[0, 0] = True
    accept(client, region("red", drawn), region("green", GREEN))
    assert (kept(client).outcomes["moved"], kept(client).outcomes["unchanged"]) == (1, 1)
    assert 0.99 < kept(client).ious[0] < 1


def test_a_share_of_nothing_unchanged_is_0_and_not_missing(client):
    accept(client, region("red", moved(RED)), region("green", moved(GREEN)))
    text = client.get("/metrics").text
    assert f'sam_inspect_proposals_total{{outcome="unchanged",project="{PROJECT}"}} 0.0' in text


def test_a_later_change_replaces_the_comparison_and_is_counted_once(client):
    accept(client, region("red", RED), region("green", GREEN))
    accept(client, region("red", RED), action="ANNOTATION_UPDATED", second=9)
    assert kept(client).outcomes["deleted"] == 1
    assert metric(client, "unchanged") == 2
    assert metric(client, "deleted") == 0


def test_the_images_of_a_repeater_are_compared_one_by_one(client, studio):
    repeated = CONFIG.replace("<View>", '<View><Repeater on="$pages">').replace("</View>", "</Repeater></View>")
    repeated = repeated.replace('"image" value="$image"', '"image_{{idx}}" value="$pages[{{idx}}].url"')
    repeated = repeated.replace('"mask" toName="image"', '"mask_{{idx}}" toName="image_{{idx}}"')
    studio.server.routes["/api/projects/1/"] = json.dumps(PROJECT_BODY | {"label_config": repeated}).encode()
    first, second = (region("red", RED) | {"id": name, "to_name": f"image_{name}"} for name in ("0", "1"))
    studio.predict([first, second])
    body = event("ANNOTATION_CREATED", parent_prediction=17, lead_time=1.5, config=repeated)
    body["annotation"]["result"] = [first]
    body["task"]["data"] = {"pages": [{"url": data_url(png(TAUGHT[0]))} for _ in range(2)]}
    assert client.post("/webhook", json=body).status_code == 200
    assert client.app.state.backend.learner.wait(60)
    assert {name: number for name, number in kept(client).outcomes.items() if number} == {"unchanged": 1, "deleted": 1}


@pytest.mark.parametrize(
    "about",
    [{"prediction": None}, {"lead_time": None}, {"prediction": "x"}, {"prediction": True}, {"prediction": 2**63}],
)
def test_an_annotation_without_a_prediction_or_in_bulk_is_not_compared(client, studio, about):
    accept(client, region("red", RED), **about)
    assert compared(client) == {}
    assert not any("/api/" in path for path in studio.server.paths())


def test_a_prediction_that_is_gone_is_asked_for_once(client, studio):
    studio.predict([], number=18)
    accept(client, region("red", RED))
    asked = len(studio.server.requests)
    assert "17 is gone" in kept(client).problem
    accept(client, number=2, prediction=None)
    assert len(studio.server.requests) == asked


def test_what_label_studio_does_not_answer_is_compared_later(client, studio, caplog):
    studio.server.routes["/api/predictions/"] = 403
    accept(client, region("red", RED))
    accept(client, number=2, prediction=None)
    assert compared(client) == {}
    (line,) = [message for message in caplog.messages if "is not known" in message]
    assert "answered 403" in line
    studio.predict([region("red", RED)])
    accept(client, number=3, prediction=None)
    assert compared(client)[1]["unchanged"] == 1


def test_it_survives_a_restart(client, make_client):
    accept(client, region("red", RED), region("green", GREEN))
    again = make_client(ColourSegmenter())
    assert compared(again) == compared(client) != {}


def test_two_servers_that_compare_at_once_count_an_annotation_once(client, make_client, studio):
    other = make_client(ColourSegmenter())
    (answer, waiting) = studio.server.routes["/api/predictions/"], []

    def slow(handler):
        if not waiting:
            waiting.append(1)
            backend = other.app.state.backend
            backend.learner.check(PROJECT, backend.model.version)
            assert backend.learner.wait(60)
        send(handler, answer)

    studio.server.routes["/api/predictions/"] = slow
    accept(client, region("red", RED), region("green", GREEN))
    assert len((store(client).folder / "agreement.jsonl").read_text().splitlines()) == 1
    assert metric(client, "unchanged") + metric(other, "unchanged") == 2


def test_a_project_that_is_forgotten_meanwhile_stays_forgotten(client, studio):
    answer = studio.server.routes["/api/predictions/"]

    def forgetting(handler):
        store(client).forget()
        send(handler, answer)

    studio.server.routes["/api/predictions/"] = forgetting
    accept(client, region("red", RED))
    assert compared(client) == {}
    assert metric(client, "unchanged") == 0


def test_a_model_that_learns_nothing_is_compared_all_the_same(make_client, studio):
    client = make_client()
    setup = {"project": PROJECT, "schema": CONFIG, "hostname": studio.server.url, "access_token": LEGACY}
    assert client.post("/setup", json=setup).status_code == 200
    accept(client, region("red", RED), region("green", GREEN))
    assert compared(client)[1]["unchanged"] == 2
