"""What the work reports about itself, for the metrics, log lines and traces of whoever carries the requests."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from sam_backend.segmenters.cache import EmbeddingSource


class Stage(StrEnum):
    """A part of the work for a request; logs, metrics and traces call it by the same name.

    `EMBEDDING_CACHE` looks for the embedding, on disk too, or waits for somebody who encodes the same image.
    `EMBEDDING` encodes the image. `WAIT_FOR_DEVICE` is the time in the queue of the device.
    """

    EMBEDDING_CACHE = "embedding_cache"
    FETCH_IMAGE = "fetch_image"
    DECODE_IMAGE = "decode_image"
    WAIT_FOR_DEVICE = "wait_for_device"
    EMBEDDING = "embedding"
    DECODE_MASK = "decode_mask"
    ENCODE_REGIONS = "encode_regions"


@dataclass
class RequestNotes:
    """What the log line of a request says; filled in while the request is answered.

    Attributes
    ----------
    id : str, the request's id, which the answer carries in the header `X-Request-ID`.
    project : str, the project's uid.
    task : str, the task's id, or the ids or the number of several tasks.
    prompt : str, the kind of prompt, for example `1+0-`, `box` or `everything`.
    page : str, the image of the task if it has several, for example `front[1]`.
    image : str, the source of the embedding, a value of `EmbeddingSource`.
    model : str, the version of the model that answers.
    trace : str, the id of the trace that the request belongs to; "" where there are no traces.
    error : str, the message of the error that was answered.
    left_out : list of str, sentences about what the answer was made without.
    stages : stage -> seconds, see `Observer.stage`.
    """

    EVERYTHING: ClassVar[str] = "everything"
    """The kind of prompt of a batch."""

    id: str = ""
    project: str = ""
    task: str = ""
    prompt: str = ""
    page: str = ""
    image: str = ""
    model: str = ""
    trace: str = ""
    error: str = ""
    left_out: list[str] = field(default_factory=list)
    stages: dict[Stage, float] = field(default_factory=dict)

    @property
    def is_click(self) -> bool:
        """Whether an annotator drew a prompt."""
        return self.prompt not in ("", self.EVERYTHING)

    def __str__(self) -> str:
        shown = {name: getattr(self, name) for name in ("task", "prompt", "page", "image")} | {"request": self.id}
        fields = (f" {name}={value}" for name, value in shown.items() if value)
        return "".join(fields) + (f": {self.error}" if self.error else "")


_notes: ContextVar[RequestNotes | None] = ContextVar("notes", default=None)
_inner: ContextVar[list[float] | None] = ContextVar("inner", default=None)
"""The seconds of the stages inside the one that runs."""


def current_notes() -> RequestNotes | None:
    """Return the notes of the request that this thread works for; None for background work."""
    return _notes.get()


@contextmanager
def noting(notes: RequestNotes) -> Iterator[None]:
    """Let the work of the block, and of the threads that take over its context, fill in notes."""
    token = _notes.set(notes)
    try:
        yield
    finally:
        _notes.reset(token)


class Observer:
    """Receives reports about the work, from many threads; this base class only fills in the notes of requests."""

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Measure the block as a stage; the time of stages inside it is theirs alone. A failed stage counts, too."""
        inner: list[float] = []
        outer, token, started = _inner.get(), _inner.set(inner), time.perf_counter()
        try:
            with self.span(stage):
                yield
        finally:
            _inner.reset(token)
            whole = time.perf_counter() - started
            if outer is not None:
                outer.append(whole)
            seconds, notes = max(whole - sum(inner), 0.0), current_notes()
            if notes is not None:
                notes.stages[stage] = notes.stages.get(stage, 0.0) + seconds
            self.stage_ended(stage, seconds, notes)

    def span(self, stage: Stage) -> AbstractContextManager[object]:
        """Return a context for the time of a stage, with the stages inside it."""
        return nullcontext()

    def stage_ended(self, stage: Stage, seconds: float, notes: RequestNotes | None) -> None:
        """Receive the time of a stage, and the notes of the request that it was for; None for background work."""

    def embedding_fetched(self, source: EmbeddingSource) -> None:
        """Receive the source of an embedding that was fetched for a request."""

    def compared(self, project: str, outcomes: Mapping[str, int], ious: Sequence[float]) -> None:
        """Receive what became of the proposals that an annotation was begun with, see `memory.agreement.Compared`."""

    def image_failed(self, status: int) -> None:
        """Receive the HTTP status, for example 502, of an error that prevented fetching an image."""
