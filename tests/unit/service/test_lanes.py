import asyncio
import threading

import pytest
from starlette.requests import ClientDisconnect

from sam_backend import deadlines
from sam_backend.service.answers import RefusedError
from sam_backend.service.lanes import Lane


class Client:
    """A request whose body was read; it can hang up."""

    def __init__(self):
        self.gone = asyncio.Event()

    async def receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}


@pytest.fixture
def held():
    event = threading.Event()
    yield event
    event.set()


async def started(event):
    while not event.is_set():
        await asyncio.sleep(0)


def hold(begun, held):
    begun.set()
    assert held.wait(30)
    return "done"


def lane(**options):
    return Lane("clicks", **{"threads": 1, "waiting": 1, "seconds": 30, **options})


def test_who_would_wait_too_long_is_told_so_at_once_and_the_others_are_answered(held):
    async def run():
        clicks, begun = lane(), threading.Event()
        waiting = [asyncio.create_task(clicks.run(Client(), lambda: hold(begun, held))) for _ in range(2)]
        await started(begun)
        with pytest.raises(RefusedError, match="too many clicks wait already") as refused:
            await clicks.run(Client(), lambda: "never")
        held.set()
        answers = [await task for task in waiting]
        again = await clicks.run(Client(), lambda: "again")
        return refused.value, answers, again

    refused, answers, again = asyncio.run(run())
    # Nothing has ended yet from which a shorter wait could be told.
    assert (refused.status, refused.headers["Retry-After"]) == (503, "30")
    assert answers == ["done", "done"]
    assert again == "again"


def test_the_wait_that_is_told_follows_from_the_speed_of_the_last_answers(held, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("sam_backend.service.lanes.monotonic", lambda: clock[0])

    async def run():
        clicks, begun, steps = lane(waiting=5), threading.Event(), threading.Semaphore(0)

        def work():
            assert steps.acquire(timeout=30)

        waiting = [asyncio.create_task(clicks.run(Client(), work)) for _ in range(2)]
        waiting += [asyncio.create_task(clicks.run(Client(), lambda: hold(begun, held)))]
        for task in waiting[:2]:
            await asyncio.sleep(0)
            clock[0] += 3
            steps.release()
            await task
        await started(begun)
        waiting += [asyncio.create_task(clicks.run(Client(), lambda: None)) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(RefusedError, match="try again in about 18 s") as refused:
            await clicks.run(Client(), lambda: None)
        held.set()
        await asyncio.gather(*waiting)
        return refused.value.headers["Retry-After"], clicks.pending

    assert asyncio.run(run()) == ("18", 0)


def test_a_request_whose_client_has_gone_while_it_waited_is_not_computed(held):
    async def run():
        clicks, begun, client, computed = lane(), threading.Event(), Client(), []
        first = asyncio.create_task(clicks.run(Client(), lambda: hold(begun, held)))
        await started(begun)
        second = asyncio.create_task(clicks.run(client, lambda: computed.append(1)))
        client.gone.set()
        with pytest.raises(ClientDisconnect):
            await second
        held.set()
        await first
        await clicks.run(Client(), lambda: None)
        return computed

    assert asyncio.run(run()) == []


def test_work_that_runs_is_told_that_its_client_has_gone(held):
    async def run():
        clicks, begun, client, ended = lane(), threading.Event(), Client(), []

        def work():
            hold(begun, held)
            try:
                deadlines.check()
            except deadlines.AbandonedError as error:
                ended.append(str(error))

        task = asyncio.create_task(clicks.run(client, work))
        await started(begun)
        client.gone.set()
        with pytest.raises(ClientDisconnect):
            await task
        held.set()
        await clicks.run(Client(), lambda: None)
        return ended

    assert asyncio.run(run()) == ["The client has gone before its request was answered."]


def test_what_must_be_kept_is_worked_on_although_its_client_has_gone(held):
    async def run():
        webhooks, begun, client, kept = lane(drop=False), threading.Event(), Client(), []
        first = asyncio.create_task(webhooks.run(Client(), lambda: hold(begun, held)))
        await started(begun)
        second = asyncio.create_task(webhooks.run(client, lambda: kept.append(1)))
        client.gone.set()
        await asyncio.sleep(0)
        second.cancel()
        held.set()
        await first
        while not kept:
            await asyncio.sleep(0)
        return kept

    assert asyncio.run(run()) == [1]


def test_a_request_is_answered_503_at_its_deadline_and_its_thread_stays_taken(held):
    async def run():
        clicks, begun = lane(seconds=0.05, waiting=0), threading.Event()
        with pytest.raises(RefusedError, match=r"no answer within 0\.05 s") as late:
            await clicks.run(Client(), lambda: hold(begun, held))
        with pytest.raises(RefusedError, match="too many clicks"):
            await clicks.run(Client(), lambda: None)
        return late.value.status

    assert asyncio.run(run()) == 503


def test_an_error_of_the_work_is_raised():
    def fail():
        raise KeyError("x")

    async def run():
        await lane().run(Client(), fail)

    with pytest.raises(KeyError):
        asyncio.run(run())
