"""The model of a running service: loaded in the background, timed, and limited to the number of cores."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime

from sam_backend.arrays import ImageArray
from sam_backend.core.observer import Observer, Stage
from sam_backend.errors import SamInspectError
from sam_backend.segmenters import Candidates, Embedding, Prompt, Segmenter
from sam_backend.segmenters.concepts import LEAST_SCORE, Concept, Instances, find_instances
from sam_backend.segmenters.model_info import ModelInfo
from sam_backend.segmenters.wrapper import SegmenterWrapper

logger = logging.getLogger(__name__)


class ModelNotReadyError(SamInspectError):
    """The model is still being loaded (HTTP 503)."""

    status = 503


class BackgroundModel:
    """A segmenter that a thread of its own loads, so that requests that do not need it do not wait.

    Parameters
    ----------
    name : str, the model's name, used until its version is known.
    load : callable, loads the segmenter.
    on_failure : callable, receives the error if the segmenter cannot be loaded.

    Attributes
    ----------
    since : datetime or None, when the present segmenter began to serve, in UTC.
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
        self.since: datetime | None = None

    def start(self) -> None:
        """Begin to load the segmenter; later calls do nothing."""
        with self._lock:
            if self._started:
                return
            self._started = True
        threading.Thread(target=self._run, name="load-model", daemon=True).start()

    @property
    def version(self) -> str:
        """The segmenter's version, or the model's name until the version is known."""
        return self._loaded.result().version if self.is_ready else self.name

    @property
    def is_ready(self) -> bool:
        """Whether the segmenter is loaded."""
        return self._loaded.done() and self._loaded.exception() is None

    @property
    def info(self) -> ModelInfo | None:
        """The entry of the model; None while it is not loaded."""
        return self._loaded.result().info if self.is_ready else None

    @property
    def device(self) -> str:
        """Where the segmenter computes, see `SegmenterWrapper.device`; "" while it is not loaded."""
        return str(getattr(self._loaded.result(), "device", "cpu")) if self.is_ready else ""

    def get(self, timeout: float) -> Segmenter:
        """Return the segmenter; wait for it at most `timeout` seconds.

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
        """Use another segmenter from now on, after the first one was loaded or has failed.

        Requests that are being answered keep the segmenter that they started with.
        """
        ready: Future[Segmenter] = Future()
        ready.set_result(segmenter)
        self.since = datetime.now(UTC)
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
            self.since = datetime.now(UTC)
            self._loaded.set_result(segmenter)
            seconds = time.perf_counter() - started
            logger.info("Model %s is ready on %s after %.1f s", segmenter.version, self.device, seconds)


class MeasuredSegmenter(SegmenterWrapper):
    """A segmenter whose work is timed and done by a limited number of callers at once.

    Parameters
    ----------
    segmenter : Segmenter, does the work.
    observer : Observer, receives the times.
    queue : context manager, entered for the work, for example a `DeviceQueue`.
    """

    def __init__(self, segmenter: Segmenter, observer: Observer, queue: AbstractContextManager[object]) -> None:
        super().__init__(segmenter)
        self._observer = observer
        self._queue = queue

    def encode(self, image: ImageArray) -> Embedding:
        """Encode an image, as the segmenter does."""
        with self._working(Stage.EMBEDDING):
            return self._segmenter.encode(image)

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        """Decode prompts, as the segmenter does."""
        with self._working(Stage.DECODE_MASK):
            return self._segmenter.decode(embedding, prompts, multimask=multimask)

    def find(self, embedding: Embedding, concept: Concept, *, least_score: float = LEAST_SCORE) -> Instances:
        """Find instances, as the segmenter does."""
        with self._working(Stage.DECODE_MASK):
            return find_instances(self._segmenter, embedding, concept, least_score=least_score)

    @contextmanager
    def _working(self, stage: Stage) -> Iterator[None]:
        with ExitStack() as slot:
            with self._observer.stage(Stage.WAIT_FOR_DEVICE):
                slot.enter_context(self._queue)
            with self._observer.stage(stage):
                yield
