"""The model of a running service: loaded in the background, measured, and kept from taking more than the cores."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager

from sam_backend.arrays import ImageArray
from sam_backend.errors import SamInspectError
from sam_backend.segmenters import Candidates, Embedding, Prompt, Segmenter
from sam_backend.segmenters.wrapper import SegmenterWrapper
from sam_backend.service.metrics import Metrics

logger = logging.getLogger(__name__)


class ModelNotReadyError(SamInspectError):
    """The model is still being loaded (HTTP 503)."""

    status = 503


class BackgroundModel:
    """A segmenter that is loaded by a thread of its own, so that nobody who can do without it waits.

    Parameters
    ----------
    name : what it is called until it is there.
    load : makes it.
    on_failure : told the error when it cannot be loaded.
    """

    def __init__(
        self, name: str, load: Callable[[], Segmenter], on_failure: Callable[[BaseException], None] | None = None
    ) -> None:
        self.name = name
        self._load = load
        self._on_failure = on_failure
        self._loaded: Future[Segmenter] = Future()
        self._lock = threading.Lock()
        self._started = False

    def start(self) -> None:
        """Begin to load, once."""
        with self._lock:
            if self._started:
                return
            self._started = True
        threading.Thread(target=self._run, name="load-model", daemon=True).start()

    @property
    def version(self) -> str:
        """The segmenter's version, or its name while that is not known."""
        if self._loaded.done() and self._loaded.exception() is None:
            return self._loaded.result().version
        return self.name

    def get(self, timeout: float) -> Segmenter:
        """Return the segmenter, waiting for it no longer than `timeout` seconds.

        Raises
        ------
        ModelNotReadyError
            If it is not loaded by then.
        SamInspectError
            If it cannot be loaded.
        """
        self.start()
        try:
            return self._loaded.result(timeout)
        except TimeoutError:
            if self._loaded.done():
                raise
            raise ModelNotReadyError(f"The model {self.name} is still being loaded; try again in a minute.") from None

    def replace(self, segmenter: Segmenter) -> None:
        """Answer with another segmenter from now on, once the first is loaded or has failed to.

        What is under way ends with the one it began with.
        """
        ready: Future[Segmenter] = Future()
        ready.set_result(segmenter)
        self._loaded = ready

    def _run(self) -> None:
        started = time.perf_counter()
        try:
            segmenter = self._load()
        except BaseException as error:
            self._loaded.set_exception(error)
            if isinstance(error, SamInspectError):
                logger.error("The model %s cannot be loaded: %s", self.name, error)
            else:
                logger.exception("The model %s cannot be loaded", self.name)
            if self._on_failure:
                self._on_failure(error)
        else:
            self._loaded.set_result(segmenter)
            logger.info("Model %s is ready after %.1f s", segmenter.version, time.perf_counter() - started)


class MeasuredSegmenter(SegmenterWrapper):
    """A segmenter whose work is timed, and done by no more callers at once than there are `slots`."""

    def __init__(self, segmenter: Segmenter, metrics: Metrics, slots: AbstractContextManager[object]) -> None:
        super().__init__(segmenter)
        self._metrics = metrics
        self._slots = slots

    def encode(self, image: ImageArray) -> Embedding:
        """Encode an image, as the segmenter does."""
        with self._slots, self._metrics.encode.time():
            return self._segmenter.encode(image)

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        """Answer prompts, as the segmenter does."""
        with self._slots, self._metrics.decode.time():
            return self._segmenter.decode(embedding, prompts, multimask=multimask)
