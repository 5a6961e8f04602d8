"""Two servers with one home and one cache folder: whichever a request comes to, the answer is the same."""

import threading

import pytest

from annotation_events import ASKED, PROJECT_BODY, TAUGHT, deleted, event, task
from annotation_events import CONFIG as COLOURS
from colour_segmenter import ColourSegmenter
from label_studio_requests import CONFIG, PROJECT, batch, click, defect_image, interactive, png, rectangle
from loopback import serving
from sam_backend.labelstudio.rle import decode_rle
from tokens import LEGACY
from waiting import PATIENCE


@pytest.fixture
def servers(make_client):
    """Two servers that answer clicks."""
    return make_client(), make_client()


@pytest.fixture
def learners(make_client):
    """Two servers that learn colours."""
    return make_client(ColourSegmenter()), make_client(ColourSegmenter())


def regions(client, *drawn, number=1, config=CONFIG, **task_fields):
    response = client.post("/predict", json=interactive(*drawn, number=number, config=config, **task_fields))
    assert response.status_code == 200, response.text
    return response.json()["results"][0]["result"]


def send(client, *bodies):
    for body in bodies:
        assert client.post("/webhook", json=body).json()["status"] == "remembered"
    assert client.app.state.backend.learner.wait(PATIENCE)


def proposed(client):
    """Return the labels of the pre-annotation of an image, once what was accepted is learnt."""
    for _ in range(2):
        (result,) = client.post("/predict", json=batch(task(9, ASKED[0]), config=COLOURS)).json()["results"]
        assert client.app.state.backend.learner.wait(PATIENCE)
    return sorted(label for region in result["result"] for label in region["value"].get("brushlabels", []))


def records(client):
    return {record.annotation: record.deleted for record in client.app.state.backend.memories.of(PROJECT).store.heads()}


def test_a_click_on_what_the_other_server_answered_corrects_it_before_the_page_has_saved_it(servers):
    one, other = servers
    (suggested,) = regions(one, rectangle(18, 8, 52, 22, label="Blowhole") | {"id": "b1"})
    (corrected,) = regions(other, click(35, 12, positive=False) | {"id": "k1"})
    assert corrected["id"] == suggested["id"]
    (again,) = regions(one, click(35, 12, positive=False) | {"id": "k1"}, click(25, 12) | {"id": "k2"})
    assert again["id"] == suggested["id"]
    size = corrected["original_height"], corrected["original_width"]
    assert not decode_rle(corrected["value"]["rle"], size)[12, 35]
    assert decode_rle(again["value"]["rle"], size)[12, 25]


def test_an_image_is_encoded_by_one_server_for_both(make_client, segmenter):
    one, other = make_client(), make_client()
    regions(one, click(25, 15))
    one.app.state.backend.cache.unkept(wait=True)
    regions(other, click(25, 15))
    assert segmenter.encoded == 1


def test_a_token_that_came_to_one_server_fetches_images_for_the_other(make_client):
    with serving() as label_studio:

        def image(handler):
            allowed = handler.headers.get("Authorization") == f"Token {LEGACY}"
            handler.send_response(200 if allowed else 401)
            handler.end_headers()
            handler.wfile.write(png(defect_image()) if allowed else b"")

        label_studio.routes["/data/upload/1/1.png"] = image
        one, other = make_client(), make_client()
        setup = {"project": PROJECT, "schema": CONFIG, "hostname": label_studio.url, "access_token": LEGACY}
        assert one.post("/setup", json=setup).status_code == 200
        assert regions(other, click(25, 15), image="/data/upload/1/1.png")


def test_what_came_to_one_server_is_proposed_by_the_other_and_forgotten_by_both(learners):
    one, other = learners
    send(one, event("ANNOTATION_CREATED"))
    assert proposed(other) == ["green", "red"]
    send(other, event("ANNOTATION_UPDATED", second=1, masks=TAUGHT[1][1:]))
    assert proposed(one) == ["green"]
    send(one, deleted(1))
    assert "green" not in proposed(other)


def test_events_that_come_to_both_at_once_or_twice_are_kept_once_and_none_is_lost(learners):
    numbers = range(1, 25)

    def send_all(client, chosen):
        for number in chosen:
            client.post("/webhook", json=event("ANNOTATION_CREATED", number=number)).raise_for_status()
        for number in chosen[:4]:
            client.post("/webhook", json=deleted(number)).raise_for_status()

    # A proxy that got no answer from one server sends the event to the other.
    shares = (numbers[:14], numbers[10:])
    at_once(send_all, zip(learners, shares, strict=True))
    gone = {*shares[0][:4], *shares[1][:4]}
    for client in learners:
        assert records(client) == {number: number in gone for number in numbers}
        assert client.app.state.backend.learner.wait(PATIENCE)


def test_of_two_servers_that_note_what_they_could_not_read_neither_loses_a_note(learners):
    def set_aside(client, places):
        for place in places:
            items = [{"id": 1}] * place + [{"id": "no number"}]
            body = {"action": "ANNOTATIONS_DELETED", "annotations": items, "project": PROJECT_BODY}
            client.post("/webhook", json=body).raise_for_status()

    at_once(set_aside, zip(learners, (range(1, 21), range(21, 41)), strict=True))
    assert len(learners[0].app.state.backend.memories.of(PROJECT).store.gaps.reasons()) == 40


def at_once(function, arguments):
    threads = [threading.Thread(target=function, args=values) for values in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
