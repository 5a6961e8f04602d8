"""Follows the promoted weights of a model while the service runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from sam_backend.errors import SamInspectError
from sam_backend.finetune.versions import SHIPPED, Versions
from sam_backend.segmenters import Segmenter

logger = logging.getLogger(__name__)

LoadWeights = Callable[[Path | None], Segmenter]


class Promotions:
    """Follows the promotions and rollbacks of one model.

    If promoted weights cannot be loaded, the service keeps its current ones; at its start, it uses those that ship.

    Parameters
    ----------
    versions : Versions, the tuned versions of all models.
    model : str, the name of the served model.
    load : callable, loads a segmenter from a folder of weights, or from the weights that ship for None.
    """

    def __init__(self, versions: Versions, model: str, load: LoadWeights) -> None:
        self._versions = versions
        self._model = model
        self._load = load
        self._current = SHIPPED
        self._started = threading.Event()
        self._stopping = threading.Event()

    def first(self) -> Segmenter:
        """Return the segmenter to start with; raise the errors of `load`. Only after this call does `follow` check."""
        try:
            return self._first()
        finally:
            self._started.set()

    def _first(self) -> Segmenter:
        try:
            self._current = self._versions.current(self._model)
            checkpoint = self._versions.checkpoint(self._model)
            if checkpoint is not None:
                return self._load(checkpoint)
        except SamInspectError as error:
            logger.error("The promoted version of %s cannot be loaded, so what ships serves: %s", self._model, error)
        return self._load(None)

    def next(self) -> Segmenter | None:
        """Return the newly promoted segmenter; None if nothing changed or it cannot be loaded."""
        try:
            current = self._versions.current(self._model)
            if current == self._current:
                return None
            # Before the loading: weights that cannot be loaded now cannot be loaded in a second either.
            self._current = current
            segmenter = self._load(self._versions.checkpoint(self._model))
        except SamInspectError as error:
            logger.error("The promoted version of %s cannot be loaded; the one before goes on: %s", self._model, error)
            return None
        logger.info("%s serves now: %s", current, segmenter.version)
        return segmenter

    def problems(self) -> list[str]:
        """Return what is wrong with the versions on disk, one sentence each."""
        return []

    def follow(self, replace: Callable[[Segmenter], None], every: float = 1.0) -> None:
        """Check every `every` seconds in a background thread until `stop`; pass each new segmenter to `replace`."""

        def watch() -> None:
            self._started.wait()
            while not self._stopping.wait(every):
                try:
                    segmenter = self.next()
                except Exception:
                    logger.exception("The promoted version cannot be loaded; the one before goes on")
                    continue
                if segmenter is not None:
                    replace(segmenter)

        threading.Thread(target=watch, name="follow-promotions", daemon=True).start()

    def stop(self) -> None:
        """Stop the thread."""
        self._stopping.set()
        self._started.set()
