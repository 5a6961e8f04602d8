import asyncio

import pytest
from starlette.requests import ClientDisconnect, Request

from sam_backend.service import bodies
from sam_backend.service.answers import RefusedError
from sam_backend.service.bodies import BodyReader
from sam_backend.settings import Settings

MEBIBYTE = 2**20


def request(*chunks, then=None):
    """A request that sends chunks; after them it ends, hangs up ("disconnect") or stays silent ("silence")."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]

    async def receive():
        if messages:
            return messages.pop(0)
        if then == "silence":
            await asyncio.Event().wait()
        return {"type": "http.disconnect"} if then else {"type": "http.request"}

    scope = {"type": "http", "headers": [(b"content-type", b"application/json")]}
    return Request(scope, receive)


def read(reader, *requests, limit=MEBIBYTE):
    async def read_all():
        sizes = []
        for each in requests:
            async with reader.read(each, limit) as body:
                sizes.append(len(body))
        return sizes

    return asyncio.run(read_all())


@pytest.fixture
def reader():
    return BodyReader(Settings(max_body_mb=1))


def test_a_body_up_to_the_limit_is_read(reader):
    assert read(reader, request(b"x" * MEBIBYTE), request(b"x", b"y"), request()) == [MEBIBYTE, 2, 0]


def test_a_larger_body_is_refused_after_it_was_read_and_dropped(reader):
    with pytest.raises(RefusedError, match=r"has 3\.0 MiB; at most 1 MiB") as refused:
        read(reader, request(*[b"x" * MEBIBYTE] * 3))
    assert refused.value.status == 413


def test_a_body_that_stops_is_given_up(reader, monkeypatch):
    monkeypatch.setattr(bodies, "_PAUSE", 0.01)
    with pytest.raises(RefusedError, match="stopped") as refused:
        read(reader, request(b"x", then="silence"))
    assert refused.value.status == 408
    assert refused.value.headers["Connection"] == "close"


def test_a_body_that_drips_is_given_up(reader, monkeypatch):
    monkeypatch.setattr(bodies, "_TOTAL", 0)
    with pytest.raises(RefusedError) as refused:
        read(reader, request(*[b"x"] * 100_000))
    assert refused.value.status == 408


def test_a_client_that_hangs_up_is_noticed(reader):
    with pytest.raises(ClientDisconnect):
        read(reader, request(b"x", then="disconnect"))


def test_bodies_that_come_together_take_a_limited_amount_of_memory(reader):
    async def read_together():
        async with reader.read(request(*[b"x" * MEBIBYTE] * 4), 4 * MEBIBYTE):
            with pytest.raises(RefusedError, match="large requests") as refused:
                async with reader.read(request(b"x"), MEBIBYTE):
                    pytest.fail("there is no memory for it")
        async with reader.read(request(b"x"), MEBIBYTE) as body:
            return refused.value.status, len(body)

    assert asyncio.run(read_together()) == (503, 1)


@pytest.mark.parametrize("failing", [request(*[b"x" * MEBIBYTE] * 2), request(b"x" * MEBIBYTE, then="disconnect")])
def test_the_memory_of_a_body_that_failed_is_free_again(reader, failing):
    with pytest.raises((RefusedError, ClientDisconnect)):
        read(reader, failing)
    assert read(reader, request(*[b"x" * MEBIBYTE] * 4), limit=4 * MEBIBYTE) == [4 * MEBIBYTE]
