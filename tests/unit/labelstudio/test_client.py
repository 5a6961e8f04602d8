"""The one client of Label Studio's API: tokens, requests, and failures in one sentence."""

import json

import pytest

from loopback import send, serving
from sam_backend.errors import ImageServerError
from sam_backend.labelstudio import client
from sam_backend.labelstudio.client import AccessTokens, LabelStudioClient
from sam_backend.labelstudio.servers import Server
from tokens import LEGACY, make_jwt


@pytest.fixture
def label_studio():
    with serving() as server:
        yield server


def ask(label_studio, token=LEGACY, read=lambda answer: answer):
    return LabelStudioClient(Server(label_studio.url, token), 5).request("GET", "/api/x/", read, about="project 3")


def test_a_legacy_token_is_sent_as_it_is(label_studio):
    assert AccessTokens(5).of(Server(label_studio.url, LEGACY)) == LEGACY
    assert label_studio.requests == []


def test_a_personal_access_token_is_exchanged_once_for_a_short_lived_one(label_studio):
    short_lived, personal = make_jwt("access"), make_jwt("refresh")
    label_studio.routes["/api/token/refresh/"] = json.dumps({"access": short_lived}).encode()
    tokens = AccessTokens(5)
    server = Server(label_studio.url, personal)
    assert tokens.of(server) == tokens.of(server) == short_lived
    ((_, path, body),) = label_studio.requests
    assert path == "/api/token/refresh/"
    assert json.loads(body) == {"refresh": personal}


def test_a_short_lived_token_about_to_end_is_renewed(label_studio):
    issued = []

    def issue(handler):
        issued.append(make_jwt("access", expires_in=10, number=len(issued)))
        send(handler, json.dumps({"access": issued[-1]}).encode())

    label_studio.routes["/api/token/refresh/"] = issue
    tokens = AccessTokens(5)
    server = Server(label_studio.url, make_jwt("refresh"))
    assert tokens.of(server) == issued[0]
    assert tokens.of(server) == issued[1]


@pytest.mark.parametrize("answer", [401, b"<html>", b'{"detail": "x"}', "hang"])
def test_a_personal_access_token_that_is_not_taken_is_reported_without_it(label_studio, answer):
    label_studio.routes["/api/token/refresh/"] = label_studio.hang if answer == "hang" else answer
    personal = make_jwt("refresh")
    with pytest.raises(ImageServerError, match=label_studio.url) as caught:
        AccessTokens(0.2).of(Server(label_studio.url.replace("://", "://user:secret@"), personal))
    assert personal not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_request_carries_the_token_in_the_words_of_its_kind(label_studio):
    label_studio.routes["/api/x/"] = b'{"a": 1}'
    short_lived = make_jwt("access")
    label_studio.routes["/api/token/refresh/"] = json.dumps({"access": short_lived}).encode()
    assert ask(label_studio) == ask(label_studio, make_jwt("refresh")) == {"a": 1}
    sent = [headers["Authorization"] for headers, path, _ in label_studio.requests if path == "/api/x/"]
    assert sent == [f"Token {LEGACY}", f"Bearer {short_lived}"]


def test_a_failure_that_passes_is_tried_again(label_studio, monkeypatch):
    waits = []
    monkeypatch.setattr(client.time, "sleep", waits.append)

    def busy_twice(handler):
        if len(waits) < 2:
            handler.send_error(500)
        else:
            send(handler, b"{}")

    label_studio.routes["/api/x/"] = busy_twice
    assert ask(label_studio) == {}
    assert waits == [0.5, 1.0]
    label_studio.routes["/api/x/"] = 503
    with pytest.raises(ImageServerError, match="answered 503 about project 3: see its log"):
        ask(label_studio)
    assert len(label_studio.requests) == 6


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (401, "answered 401 about project 3: it does not know the token"),
        (403, "answered 403 about project 3: the token may not do that"),
        (404, "answered 404 about project 3: there is no such project or task"),
        (b"<html>", "does not answer about project 3 as it should: JSONDecodeError; check its address"),
        (b"{}", "does not answer about project 3 as it should: KeyError"),
    ],
)
def test_a_failure_is_one_sentence_without_the_token(label_studio, answer, sentence):
    label_studio.routes["/api/x/"] = answer
    with pytest.raises(ImageServerError, match=sentence) as caught:
        ask(label_studio, read=lambda answer: answer["id"])
    assert LEGACY not in str(caught.value)
