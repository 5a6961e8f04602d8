"""What answers Label Studio, put together, whoever carries its requests: model, cache, memory, trainings."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sam_backend.core.embeddings import TaskEmbeddings
from sam_backend.core.learner import Learner
from sam_backend.core.model import BackgroundModel
from sam_backend.core.predictions import Predictor
from sam_backend.core.promotions import Promotions
from sam_backend.core.trainings import Trainings
from sam_backend.errors import BadRequestError
from sam_backend.finetune.versions import VERSIONS, Versions
from sam_backend.labelstudio.images import TaskImages
from sam_backend.labelstudio.messages import Event, SetupRequest
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.memory.memory import Memories
from sam_backend.second_look import Focus
from sam_backend.segmenters import Segmenter
from sam_backend.segmenters.cache import EmbeddingCache
from sam_backend.segmenters.registry import load_segmenter
from sam_backend.service.metrics import Metrics
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Backend:
    """The parts of one backend, which belong to it alone. Its methods block; safe to call from many threads.

    Attributes
    ----------
    model : what segments, loaded from `start` on.
    promotions : what the model follows; None where it is given.
    """

    model: BackgroundModel
    promotions: Promotions | None
    servers: ServerRegistry
    cache: EmbeddingCache
    memories: Memories
    learner: Learner
    predictor: Predictor
    trainings: Trainings
    metrics: Metrics

    def start(self) -> None:
        """Begin to load the model, and to follow what is promoted; once."""
        self.model.start()
        if self.promotions:
            self.promotions.follow(self.model.replace)

    def stop(self) -> None:
        """End what is under way."""
        if self.promotions:
            self.promotions.stop()
        self.learner.stop()
        self.predictor.stop()
        self.cache.close()

    def connect(self, asked: SetupRequest) -> None:
        """Remember which Label Studio a project is on, and let the model look at what is new of it.

        Raises
        ------
        BadRequestError
            If the address is none.
        """
        if asked.project is None:
            return
        if asked.hostname:
            self._remember(str(asked.project), asked.hostname, asked.access_token or "")
        self.learner.look_at(str(asked.project), self.model.version)

    def _remember(self, project: str, hostname: str, token: str) -> None:
        if urlsplit(hostname).scheme not in ("http", "https"):
            raise BadRequestError(
                "The hostname of Label Studio must start with http:// or https:// and does not; set "
                "LABEL_STUDIO_HOST where Label Studio runs."
            )
        try:
            self.servers.remember(project, hostname, token)
        except OSError as error:
            logger.warning("The address of Label Studio is not kept across a restart: %s", error)

    def hear(self, event: Event, *, learn: bool = True) -> dict[str, str]:
        """Take in what happened in a project; return what was done about it.

        Parameters
        ----------
        event : the memory keeps what is about annotations, and START_TRAINING starts a training.
        learn : whether the model is to look at what is new; without it, the next process that is asked for predictions
            lets its model look.

        Raises
        ------
        BadRequestError
            If a training is to be started without a project.
        """
        if self.learner.hear(event, learn=learn):
            return {"status": "remembered", "action": event.action}
        if event.action != "START_TRAINING":
            message = "Nothing here depends on this event."
            return {"status": "ignored", "action": event.action, "message": message}
        if event.project is None:
            raise BadRequestError("The body needs 'project' to start a training, which is missing.")
        started, message = self.trainings.start(event.project.uid)
        return {"status": "started" if started else "ignored", "action": event.action, "message": message}


def assemble(
    segmenter: str | Segmenter,
    settings: Settings,
    on_failure: Callable[[BaseException], None] | None = None,
    checkpoint: Path | None = None,
) -> Backend:
    """Put a backend together; nothing of it runs before its `start`.

    Parameters
    ----------
    segmenter : a model's name, or one that is there.
    settings : where things are kept, limits.
    on_failure : told the error when the model cannot be loaded; the backend itself goes on and answers with it.
    checkpoint : where the weights of a model given by name are, as in `load_segmenter`; None for those that were
        promoted last, followed from then on, or else those that ship.

    Raises
    ------
    SamInspectError
        If the settings contradict each other.
    """
    metrics = Metrics()
    promotions = _promotions(segmenter, settings) if isinstance(segmenter, str) and checkpoint is None else None
    model = _background(segmenter, checkpoint, settings.focus, promotions, on_failure)
    servers, cache = ServerRegistry.of_settings(settings), EmbeddingCache.of_settings(settings)
    embeddings = TaskEmbeddings(TaskImages.of_settings(settings), servers, cache, metrics)
    memories = Memories(settings.home)
    learner = Learner(memories, embeddings, model)
    predictor = Predictor(model, embeddings, memories, learner)
    trainings = Trainings(settings, model.name)
    return Backend(model, promotions, servers, cache, memories, learner, predictor, trainings, metrics)


def _promotions(model: str, settings: Settings) -> Promotions:
    versions = Versions(settings.home / VERSIONS)
    return Promotions(versions, model, lambda folder: load_segmenter(model, folder, focus=settings.focus))


def _background(
    segmenter: str | Segmenter,
    checkpoint: Path | None,
    focus: Focus,
    promotions: Promotions | None,
    on_failure: Callable[[BaseException], None] | None,
) -> BackgroundModel:
    if promotions:
        return BackgroundModel(str(segmenter), promotions.first, on_failure)
    if isinstance(segmenter, str):
        name = segmenter
        return BackgroundModel(name, lambda: load_segmenter(name, checkpoint, focus=focus), on_failure)
    ready = segmenter
    return BackgroundModel(ready.name, lambda: ready, on_failure)
