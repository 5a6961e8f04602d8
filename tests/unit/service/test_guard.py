"""What is refused before a route sees it."""

import asyncio
import base64
import json
import logging

import pytest

from sam_backend.core.observer import RequestNotes
from sam_backend.service.authentication import Authentication
from sam_backend.service.guard import GuardMiddleware
from sam_backend.settings import Settings

RIGHT = b"Basic " + base64.b64encode(b"label:studio")
WRONG = b"Basic " + base64.b64encode(b"label:wrong")


class Guarded:
    """A guard with a password, before an application that only counts; it never sleeps."""

    def __init__(self, **fields):
        settings = Settings(**{"basic_auth_user": "label", "basic_auth_pass": "studio", **fields})
        self.reached, self.slept, self.read = 0, [], 0
        self.held = None
        self.guard = GuardMiddleware(self.app, Authentication(settings, sleep=self.sleep))

    async def app(self, _scope, _receive, send):
        self.reached += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def sleep(self, seconds):
        self.slept.append(seconds)
        if self.held:
            await self.held.wait()

    async def ask(self, path="/health", headers=(), client="10.0.0.1", method="GET"):
        """Return the status, the headers and the body of the answer."""
        sent = []
        scope = {"type": "http", "method": method, "path": path, "headers": list(headers), "client": (client, 1)}

        async def receive():
            self.read += 1
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        await self.guard({**scope, "sam_inspect.notes": RequestNotes(), "query_string": b""}, receive, send)
        return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def ask(guarded, *requests):
    async def ask_all():
        return [await guarded.ask(**request) for request in requests]

    return asyncio.run(ask_all())


@pytest.mark.parametrize(
    "host",
    [b"x/?", b"x/", b"x?y=", b"x#", b"a@b", b"a b", b"a\\b", b"[::1", b"x:1:2", b"x:y", b"", b"%2f", "ü".encode()],
)
@pytest.mark.parametrize("path", ["/health", "/predict", "/"])
def test_a_malformed_host_is_refused_whatever_the_password(host, path):
    guarded = Guarded()
    ((status, _, body),) = ask(guarded, {"path": path, "headers": [(b"host", host), (b"authorization", RIGHT)]})
    assert status == 400
    assert b"Host" in body
    assert not guarded.reached


def test_two_hosts_are_refused():
    ((status, _, _),) = ask(Guarded(), {"path": "/", "headers": [(b"host", b"a"), (b"host", b"b")]})
    assert status == 400


@pytest.mark.parametrize(
    "host", [b"label_studio:9090", b"127.0.0.1", b"[::1]:9090", b"host.docker.internal", b"A-1.b:1"]
)
def test_usual_hosts_are_accepted(host):
    ((status, _, _),) = ask(Guarded(), {"headers": [(b"host", host), (b"authorization", RIGHT)]})
    assert status == 200


@pytest.mark.parametrize("path", ["/health", "//", "/?", "/\n", "", "/./", "/predict", "/nowhere"])
def test_every_path_but_the_root_needs_the_password(path):
    guarded = Guarded()
    assert [status for status, _, _ in ask(guarded, {"path": path}, {"path": "/"})] == [401, 200]
    assert guarded.reached == 1


def test_a_body_is_not_read_before_the_password_is_right_and_the_connection_ends():
    guarded = Guarded()
    ((status, headers, _),) = ask(
        guarded, {"path": "/predict", "method": "POST", "headers": [(b"content-length", b"9")]}
    )
    assert status == 401
    assert headers[b"connection"] == b"close"
    assert not guarded.read


def test_wrong_passwords_are_slowed_but_a_right_one_is_not():
    guarded = Guarded()
    wrong, right = {"headers": [(b"authorization", WRONG)]}, {"headers": [(b"authorization", RIGHT)]}
    answers = ask(guarded, *[wrong] * 6, right)
    assert [status for status, _, _ in answers] == [401] * 6 + [200]
    assert len(guarded.slept) == 3


@pytest.mark.parametrize(("one", "other"), [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8:0:1::1")])
def test_clients_are_slowed_apart(one, other):
    guarded = Guarded()
    ask(guarded, *({"client": each, "headers": [(b"authorization", WRONG)]} for each in [one, other] * 3))
    assert not guarded.slept


def test_the_addresses_of_one_network_are_one_client():
    guarded = Guarded()
    ask(guarded, *({"client": f"2001:db8::{n}", "headers": [(b"authorization", WRONG)]} for n in range(1, 6)))
    assert len(guarded.slept) == 2


def test_a_client_cannot_try_many_passwords_at_the_same_time():
    async def try_many():
        guarded.held = asyncio.Event()
        tries = [asyncio.create_task(guarded.ask(headers=[(b"authorization", WRONG)])) for _ in range(20)]
        while not any(task.done() for task in tries[13:]):
            await asyncio.sleep(0)
        one_more = await guarded.ask(headers=[(b"authorization", RIGHT)])
        other = await guarded.ask(client="10.0.0.9", headers=[(b"authorization", RIGHT)])
        guarded.held.set()
        return [(await task)[0] for task in tries], one_more, other

    guarded = Guarded()
    statuses, one_more, other = asyncio.run(try_many())
    assert statuses == [401] * 13 + [429] * 7
    assert one_more[0] == 429
    assert b"retry-after" in one_more[1]
    assert other[0] == 200


def test_wrong_passwords_have_one_log_line_a_client(caplog):
    ask(Guarded(), *({"client": client, "headers": [(b"authorization", WRONG)]} for client in ["a", "b"] * 5))
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "Client a gave a wrong password.",
        "Client b gave a wrong password.",
    ]


def test_the_log_says_how_a_webhook_gets_the_password(caplog):
    ask(Guarded(), {"path": "/webhook", "method": "POST"})
    assert "add the header Authorization" in caplog.text


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        (b"127.0.0.1:9090", b"http://evil.example", 403),
        (b"127.0.0.1:9090", b"http://127.0.0.1:8080", 403),
        (b"127.0.0.1:9090", b"null", 403),
        (b"127.0.0.1:9090", b"", 403),
        # An attacker's name that resolves to this machine.
        (b"evil.example:9090", b"http://evil.example:9090", 403),
        (b"127.0.0.1:9090", b"http://127.0.0.1:9090", 200),
        (b"localhost:9090", b"http://localhost:9090", 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_web_page_of_another_host_is_refused(host, origin, status, method):
    guarded = Guarded(basic_auth_user=None, basic_auth_pass=None)
    (answer,) = ask(guarded, {"path": "/setup", "method": method, "headers": [(b"host", host), (b"origin", origin)]})
    assert answer[0] == status
    assert guarded.reached == (status == 200)


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
@pytest.mark.parametrize("path", ["/setup", "/predict", "/webhook", "/validate"])
def test_a_body_that_is_not_announced_as_json_is_refused(client, path, kind):
    response = client.post(path, content=b"{}", headers={} if kind is None else {"Content-Type": kind})
    assert response.status_code == 415
    assert "application/json" in response.json()["error"]


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_a_body_that_is_announced_as_json_is_read(client, kind):
    response = client.post("/setup", content=json.dumps({}), headers={"Content-Type": kind})
    assert response.status_code == 200


@pytest.mark.parametrize("name", [b"origin", b"host"])
@pytest.mark.parametrize("address", [b"http://[::1", b"[", b"[::1]x", b"http://]", b"[v1.x]", b"[1:2]", b"[..]"])
def test_malformed_brackets_in_a_header_are_refused(name, address):
    headers = {b"host": b"localhost", b"origin": b"http://localhost", b"authorization": RIGHT} | {name: address}
    ((status, _, _),) = ask(Guarded(), {"headers": list(headers.items())})
    assert status in (400, 403)
