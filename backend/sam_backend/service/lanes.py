"""Each kind of work has its own threads; a request that would wait too long is refused at once."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from time import monotonic
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from sam_backend.deadlines import Deadline, within
from sam_backend.service.answers import RefusedError

_REMEMBERED = 32
"""Ends of work from which the speed of a lane is taken."""

Result = TypeVar("Result")


class Lane:
    """Runs the work of one kind of request in threads of its own.

    Parameters
    ----------
    name : str, what is done, in the plural, for example "clicks".
    threads : int, requests that are worked on at once.
    waiting : int, requests that may wait for a thread.
    seconds : float, the time from the call of `run` to the answer.
    drop : bool, whether a request is given up if its client has gone. Not for what must be kept: Label Studio stops
        waiting for the answer to a webhook after a second.
    """

    def __init__(self, name: str, *, threads: int, waiting: int, seconds: float, drop: bool = True) -> None:
        self._name = name
        self._most = self._room = threads + waiting
        self._ends: deque[float] = deque(maxlen=_REMEMBERED)
        """When the present time without a pause began, then when pieces of work ended."""
        self._seconds = seconds
        self._drop = drop
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, request: Request, work: Callable[[], Result]) -> Result:
        """Return what `work` returns, in a thread. Call it from one event loop only.

        Raises
        ------
        RefusedError
            If too many requests wait already, or there is no answer in time (HTTP 503).
        ClientDisconnect
            If the client has gone; what waits for a thread is then not worked on.
        """
        if not self._room:
            wait = self.expected_wait()
            raise RefusedError(
                503,
                f"The backend is busy: too many {self._name} wait already; try again in about {wait} s.",
                Retry_After=str(wait),
            )
        if not self.pending:
            self._ends.clear()
            self._ends.append(monotonic())
        self._room -= 1
        deadline, loop = Deadline(self._seconds), asyncio.get_running_loop()

        def job() -> Result:
            with within(deadline):
                deadline.check()
                return work()

        # With the notes of the request, and its span.
        running = self._executor.submit(copy_context().run, job)
        # The thread stays taken until its work ends, even if nobody waits for it any more.
        running.add_done_callback(lambda _: _call_in(loop, self._give_back))
        outcome = asyncio.wrap_future(running)
        # Without this, asyncio would log the error of work that nobody waits for.
        outcome.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            await self._wait(request, outcome)
        finally:
            if not outcome.done():
                self._abandon(deadline, running)
        return outcome.result()

    @property
    def pending(self) -> int:
        """Requests that are worked on or wait."""
        return self._most - self._room

    def expected_wait(self) -> int:
        """Return the seconds, at least 1, until all present requests are answered at the speed of the last ones."""
        # `/status` asks from another thread.
        ends = self._ends.copy()
        if len(ends) < 2:
            return math.ceil(self._seconds)
        each = (monotonic() - ends[0]) / (len(ends) - 1)
        return min(max(math.ceil(self.pending * each), 1), math.ceil(self._seconds))

    async def _wait(self, request: Request, outcome: asyncio.Future[Result]) -> None:
        """Wait until the work is done; raise if the client has gone or the time is over before."""
        gone = asyncio.ensure_future(_until_gone(request)) if self._drop else None
        try:
            waits: set[asyncio.Future[Any]] = {outcome, gone} if gone else {outcome}
            done, _ = await asyncio.wait(waits, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if gone:
                gone.cancel()
        if outcome in done:
            return
        if gone in done:
            raise ClientDisconnect
        raise RefusedError(
            503, f"There was no answer within {self._seconds:g} s, since the backend is busy; try again in a minute."
        )

    def _abandon(self, deadline: Deadline, running: Future[Result]) -> None:
        if self._drop:
            deadline.cancel()
            running.cancel()

    def _give_back(self) -> None:
        self._room += 1
        self._ends.append(monotonic())


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    # At the end of the process, work may end after the loop.
    if not loop.is_closed():
        loop.call_soon_threadsafe(call)
