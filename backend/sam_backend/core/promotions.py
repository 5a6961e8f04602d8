"""Which weights serve: those that were promoted, taken up while the service runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from sam_backend.errors import SamInspectError
from sam_backend.finetune.versions import SHIPPED, Versions
from sam_backend.segmenters import Segmenter

logger = logging.getLogger(__name__)

Load = Callable[[Path | None], Segmenter]


class Promotions:
    """Follows what is promoted and rolled back for one model.

    Weights that cannot be loaded leave the service with those it has; at its start, with the shipped ones.

    Parameters
    ----------
    versions : of all models.
    model : that is served.
    load : makes a segmenter of a folder of weights, or of None, what ships.
    """

    def __init__(self, versions: Versions, model: str, load: Load) -> None:
        self._versions = versions
        self._model = model
        self._load = load
        self._seen = SHIPPED
        self._began = threading.Event()
        self._stopping = threading.Event()

    def first(self) -> Segmenter:
        """Return what serves at the start; errors as of `load`. From then on, `follow` looks."""
        try:
            return self._first()
        finally:
            self._began.set()

    def _first(self) -> Segmenter:
        try:
            self._seen = self._versions.current(self._model)
            checkpoint = self._versions.checkpoint(self._model)
            if checkpoint is not None:
                return self._load(checkpoint)
        except SamInspectError as error:
            logger.error("The promoted version of %s cannot be loaded, so what ships serves: %s", self._model, error)
        return self._load(None)

    def next(self) -> Segmenter | None:
        """Return what serves from now on, or None if it is what served before or cannot be loaded."""
        try:
            current = self._versions.current(self._model)
            if current == self._seen:
                return None
            # Even if it fails: what cannot be loaded now cannot in a second either.
            self._seen = current
            segmenter = self._load(self._versions.checkpoint(self._model))
        except SamInspectError as error:
            logger.error("The promoted version of %s cannot be loaded; the one before goes on: %s", self._model, error)
            return None
        logger.info("%s serves now: %s", current, segmenter.version)
        return segmenter

    def follow(self, take: Callable[[Segmenter], None], every: float = 1.0) -> None:
        """Look every so many seconds, in a thread of its own, until `stop`, and hand over what serves from then on."""

        def watch() -> None:
            self._began.wait()
            while not self._stopping.wait(every):
                try:
                    segmenter = self.next()
                except Exception:
                    logger.exception("The promoted version cannot be loaded; the one before goes on")
                    continue
                if segmenter is not None:
                    take(segmenter)

        threading.Thread(target=watch, name="follow-promotions", daemon=True).start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._began.set()
