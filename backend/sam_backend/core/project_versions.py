"""What was promoted for each project, loaded; promotions of other processes are seen at the next question."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from cachetools import LRUCache

from sam_backend.errors import SamInspectError
from sam_backend.finetune.training_status import TRAININGS
from sam_backend.finetune.version_record import folder_name
from sam_backend.finetune.versions import SHIPPED, VERSIONS, Versions

logger = logging.getLogger(__name__)

_OPEN = 8
"""Versions that are kept loaded; each takes about 20 MB. A version that is loaded again costs a third of a second."""

Part = TypeVar("Part")


def work_folder(home: Path, model: str) -> Path:
    """Return the folder of the trainings of a project's part, given by its name among the versions."""
    return home / TRAININGS / folder_name(model)


def forget_versions(home: Path, model: str) -> None:
    """Delete all versions of a project's part, given by its name among them, and what a training kept."""
    for folder in (home / VERSIONS / folder_name(model), work_folder(home, model)):
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, eq=False)
class _Loaded(Generic[Part]):
    """A promoted version, and what is in it; None if it cannot be used."""

    version: str
    part: Part | None


class ProjectVersions(Generic[Part]):
    """The parts that were trained for projects, each a model of its own among the versions. Safe to share.

    Parameters
    ----------
    home : Path of the home folder, which holds the versions.
    load : function that loads the part in the folder of a version.
    instead : str, the sentence that says what serves where a version is damaged.
    """

    def __init__(self, home: Path, load: Callable[[Path], Part], instead: str) -> None:
        self._versions = Versions(home / VERSIONS)
        self._load_part = load
        self._instead = instead
        self._loaded: LRUCache[str, _Loaded[Part]] = LRUCache(_OPEN)
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}

    def promoted(self, model: str) -> Part | None:
        """Return the promoted part of a name; None where there is none or it is damaged, which is logged once."""
        try:
            current = self._versions.current(model)
        except SamInspectError as error:
            current, problem = "", str(error)
        else:
            problem = ""
        if current == SHIPPED:
            # Most projects have nothing of their own; they must not push out those that have.
            with self._lock:
                self._loaded.pop(model, None)
            return None
        with self._lock:
            loading = self._loading.setdefault(model, threading.Lock())
        # Clicks of other projects do not wait for the loading of this one's.
        with loading:
            with self._lock:
                loaded = self._loaded.get(model)
            if loaded is None or loaded.version != current:
                loaded = _Loaded(current, self._load(current, problem))
                with self._lock:
                    self._loaded[model] = loaded
            return loaded.part

    def _load(self, version: str, problem: str) -> Part | None:
        try:
            if problem:
                raise SamInspectError(problem)
            part = self._load_part(self._versions.verified(version))
        except SamInspectError as error:
            logger.error("%s %s", self._instead, error)
            return None
        logger.info("%s serves now", version)
        return part
