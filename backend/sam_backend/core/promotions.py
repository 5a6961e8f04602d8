"""Follows the promoted weights of a model while the service runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sam_backend.errors import SamInspectError
from sam_backend.finetune.served_version import LoadWeights, load_served, load_version
from sam_backend.finetune.versions import SHIPPED, Versions
from sam_backend.segmenters import Segmenter

logger = logging.getLogger(__name__)


class Promotions:
    """Follows the promotions and rollbacks of one model.

    A version is verified, loaded and asked one click before it serves. If that fails, the service keeps its current
    weights; at its start, it uses those that ship. `problems` says so.

    Parameters
    ----------
    versions : Versions, the tuned versions of all models.
    model : str, the name of the served model.
    load : callable, loads a segmenter from a folder of weights, or from the weights that ship for None.

    Attributes
    ----------
    serving : str, the version that serves, or `SHIPPED`.
    """

    def __init__(self, versions: Versions, model: str, load: LoadWeights) -> None:
        self._versions = versions
        self._model = model
        self._load = load
        self._current: str | None = None
        """The promoted version that was last loaded or tried; None if it is not known."""
        self._is_readable = True
        self._problem = ""
        self.serving = SHIPPED
        self._started = threading.Event()
        self._stopping = threading.Event()

    def first(self) -> Segmenter:
        """Return the segmenter to start with; raise the errors of `load`. Only after this call does `follow` check."""
        try:
            try:
                self._current = self._versions.current(self._model)
            except SamInspectError:
                self._current, self._is_readable = None, False
            served = load_served(self._versions, self._model, self._load)
            self._problem, self.serving = served.problem, served.name
            return served.segmenter
        finally:
            self._started.set()

    def next(self) -> Segmenter | None:
        """Return the newly promoted segmenter; None if nothing changed or it cannot be used."""
        try:
            current = self._versions.current(self._model)
            self._is_readable = True
        except SamInspectError as error:
            if self._is_readable:
                logger.error("The model that serves goes on: %s", error)
            self._is_readable = False
            return None
        if current == self._current:
            return None
        try:
            # Before the loading: weights that cannot be loaded now cannot be loaded in a second either.
            self._current = current
            if current == SHIPPED:
                segmenter, self._problem = self._load(None), ""
            else:
                served = load_version(self._versions, current, self._load)
                segmenter, self._problem = served.segmenter, served.problem
        except SamInspectError as error:
            self._problem = f"The promoted version of {self._model} cannot serve; the one before goes on. {error}"
            logger.error("%s", self._problem)
            return None
        self.serving = current
        logger.info("%s serves now: %s", current, segmenter.version)
        return segmenter

    def problems(self) -> list[str]:
        """Return what is wrong with the versions of all models, and with what serves, one sentence each."""
        return list(dict.fromkeys([*([self._problem] if self._problem else []), *self._versions.problems()]))

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
