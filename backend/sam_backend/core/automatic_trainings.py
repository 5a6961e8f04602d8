"""Trainings that nobody starts: a project's proposer and refiner learn again when enough new images were accepted."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from sam_backend.core.project_versions import work_folder
from sam_backend.core.proposers import proposer_of
from sam_backend.core.refiners import refiner_of
from sam_backend.core.trainings import Trainings
from sam_backend.files import make_folder, write_whole
from sam_backend.memory.memories import Memories
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)

FEWEST_IMAGES = 40
"""Accepted images from which they learn: about ten of them are held out for the gate."""

_STARTED = "started.json"


class AutomaticTrainings:
    """Starts what a project learns after each `Settings.proposer_every` or `refiner_every` new accepted images.

    Parameters
    ----------
    settings : Settings.
    memories : Memories, which know the accepted images.
    trainings : Trainings, which starts them.
    """

    def __init__(self, settings: Settings, memories: Memories, trainings: Trainings) -> None:
        self._settings = settings
        self._memories = memories
        self._trainings = trainings
        self._refusals: set[str] = set()

    def start_if_due(self, project: str) -> None:
        """Start a training if a project has enough new accepted images; log once why it cannot be started.

        Parameters
        ----------
        project : str, the project's uid.

        Raises
        ------
        OSError
            If it cannot be written that a training was started.
        """
        settings = self._settings
        if not settings.proposer_every and not settings.refiner_every:
            return
        memory = self._memories.of(project)
        images = len({(record.task, record.index) for record in memory.store.heads() if record.is_usable})
        parts = (
            (proposer_of(memory), settings.proposer_every, self._trainings.start_proposer),
            (refiner_of(memory), settings.refiner_every, self._trainings.start_refiner),
        )
        for model, every, start in parts:
            file = work_folder(settings.home, model) / _STARTED
            if not every or images < max(FEWEST_IMAGES, _images_before(file) + every):
                continue
            # One training runs at a time; the other one starts after a later annotation.
            started, message = start(project)
            if started:
                make_folder(file.parent)
                write_whole(file, json.dumps({"images": images}).encode())
                logger.info("%s learns from %d accepted images", model, images)
            elif message not in self._refusals:
                self._refusals.add(message)
                logger.info("%s does not learn now. %s", model, message)


def _images_before(file: Path) -> int:
    """Return the number of accepted images when a training was last started; 0 for never."""
    try:
        return int(json.loads(file.read_bytes())["images"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
