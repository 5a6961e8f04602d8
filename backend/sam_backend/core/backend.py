"""One backend, assembled from its parts: model, cache, memories, trainings; independent of how requests arrive."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from sam_backend.core.answered_regions import AnsweredRegions
from sam_backend.core.automatic_trainings import AutomaticTrainings
from sam_backend.core.background_model import BackgroundModel
from sam_backend.core.device_queue import DeviceQueue
from sam_backend.core.housekeeping import protect_folders, tidy
from sam_backend.core.learner import Learner
from sam_backend.core.observer import Observer
from sam_backend.core.predictor import Predictor
from sam_backend.core.prefetcher import Prefetcher
from sam_backend.core.project_status import ProjectStatus
from sam_backend.core.promotions import Promotions
from sam_backend.core.proposers import Proposers
from sam_backend.core.refiners import Refiners
from sam_backend.core.task_embeddings import TaskEmbeddings
from sam_backend.core.trainings import Trainings
from sam_backend.errors import BadRequestError
from sam_backend.finetune.versions import VERSIONS, Versions
from sam_backend.labelstudio.connecting import connect_project
from sam_backend.labelstudio.messages import Event, SetupRequest
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.memory.memories import Memories
from sam_backend.pipeline.sources import Propose
from sam_backend.segmenters import Segmenter, WeightFolders
from sam_backend.segmenters.answers_memo import AnswersMemo
from sam_backend.segmenters.cache import EmbeddingCache
from sam_backend.segmenters.model_registry import load_segmenter, model_info
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)

_SLOW_IMPORTS = ("scipy.cluster.vq", "scipy.optimize")
"""Modules that requests need; the thread that loads the model imports them, so that a service listens earlier."""


@dataclass(frozen=True, eq=False)
class Backend:
    """The parts of one backend; no two backends share a part. Its methods block; they are safe to call from threads.

    Attributes
    ----------
    model : BackgroundModel, loaded from `start` on.
    promotions : Promotions, replaces the model when another version is promoted; None if the weights are fixed.
    queue : DeviceQueue, of the model's device.
    """

    model: BackgroundModel
    promotions: Promotions | None
    queue: DeviceQueue
    servers: ServerRegistry
    cache: EmbeddingCache
    memories: Memories
    learner: Learner
    prefetcher: Prefetcher
    predictor: Predictor
    trainings: Trainings
    project_status: ProjectStatus
    settings: Settings

    def start(self) -> None:
        """Put the folders in order, and begin to load the model and to follow promotions; call it once."""
        home, cache = self.settings.home, self.settings.cache
        protect_folders(home, cache)
        threading.Thread(target=tidy, args=(home, cache), name="tidy", daemon=True).start()
        self.model.start()
        if self.promotions:
            self.promotions.follow(self.model.replace)

    def stop(self) -> None:
        """Stop the background work."""
        if self.promotions:
            self.promotions.stop()
        self.learner.stop()
        self.prefetcher.stop()
        self.predictor.stop()
        self.cache.close()

    def problems(self) -> list[str]:
        """Return what is damaged and left out, one sentence each, for `/status`."""
        return self.promotions.problems() if self.promotions else []

    def connect(self, request: SetupRequest) -> None:
        """Remember a project's Label Studio, learn records that the model does not know yet, encode what comes first.

        Raises
        ------
        BadRequestError
            If the hostname is not an HTTP address, or a known project would get another one without a proof.
        """
        if request.project is None:
            return
        if request.hostname:
            connect_project(self.servers, str(request.project), request.hostname, request.access_token or "")
        self.learner.check(str(request.project), self.model.version)
        self.prefetcher.ask(str(request.project))

    def handle(self, event: Event, *, learn: bool = True) -> dict[str, str]:
        """Handle an event of a project; return the answer to Label Studio, which says what was done.

        Parameters
        ----------
        event : Event; one about annotations goes to the memory, START_TRAINING starts a training.
        learn : bool, whether this process learns the changed records. If not, the next process that is asked for
            predictions learns them.

        Raises
        ------
        BadRequestError
            If a training is to be started without a project.
        NotKeptError
            If the home folder cannot be written.
        """
        kept = self.learner.handle(event, learn=learn)
        if kept is not None:
            answer = {"status": "remembered", "action": event.action}
            return answer | ({"message": " ".join(kept.set_aside)} if kept.set_aside else {})
        grown = event.project if event.action == "TASKS_CREATED" and learn else None
        if grown is not None and self.prefetcher.ask(grown.uid, is_new=True):
            return {"status": "started", "action": event.action, "message": "The first tasks are encoded."}
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
    *,
    checkpoint: Path | None = None,
    on_failure: Callable[[BaseException], None] | None = None,
    observer: Observer | None = None,
    trusts_configs: bool = False,
) -> Backend:
    """Assemble a backend; nothing runs before its `start`.

    Parameters
    ----------
    segmenter : str or Segmenter, a model's name, or a segmenter that is loaded already.
    settings : Settings, folders and limits.
    checkpoint : Path, the weights of a model given by name, as in `load_segmenter`. If None, the promoted version is
        used and promotions are followed; without a promoted version, the weights that ship.
    on_failure : callable, receives the error if the model cannot be loaded; the backend goes on and answers with it.
    observer : Observer, receives what is measured; None ignores it.
    trusts_configs : bool, whether labeling configs may name servers with private addresses, see `TaskEmbeddings`.

    Raises
    ------
    SamInspectError
        If the settings contradict each other.
    """
    follows = isinstance(segmenter, str) and checkpoint is None
    promotions = _promotions(str(segmenter), settings) if follows else None
    model = _background_model(segmenter, checkpoint, settings, promotions, on_failure)
    servers, cache = ServerRegistry.of_settings(settings), EmbeddingCache.of_settings(settings)
    embeddings = TaskEmbeddings.of_settings(
        settings, servers, cache, observer or Observer(), trusts_configs=trusts_configs
    )
    memories = Memories(settings.home, servers)
    trainings = Trainings(settings, model.name, checkpoint)
    automatic = AutomaticTrainings(settings, memories, trainings)
    learner = Learner(memories, embeddings, model, servers, automatic.start_if_due)
    prefetcher = Prefetcher(settings, model, embeddings, servers)
    proposers, refiners = Proposers(settings.home), Refiners(settings.home)
    shared = settings.cache if settings.embedding_disk_mb else None
    predictor = Predictor(
        model,
        embeddings,
        memories,
        proposers,
        refiners,
        learner,
        prefetcher,
        AnswersMemo(folder=shared and shared / "answers"),
        AnsweredRegions(folder=shared and shared / "answered"),
        propose=_propose(segmenter, settings),
        max_pixels=settings.max_image_pixels,
        in_place=settings.correct_in_place,
        tolerance=settings.polygon_tolerance,
    )
    return Backend(
        model,
        promotions,
        embeddings.queue,
        servers,
        cache,
        memories,
        learner,
        prefetcher,
        predictor,
        trainings,
        ProjectStatus(memories, Versions(settings.home / VERSIONS)),
        settings,
    )


def _propose(segmenter: str | Segmenter, settings: Settings) -> Propose | None:
    if settings.pipeline is None:
        return None
    # Imported here because onnxruntime is slow to import, and the service listens before it is needed.
    from sam_backend.pipeline.pipeline import Pipeline

    pipeline = Pipeline.load(settings.pipeline)
    pipeline.require(model_info(segmenter) if isinstance(segmenter, str) else segmenter.info)
    return pipeline.propose


def _promotions(model: str, settings: Settings) -> Promotions:
    versions, folders = Versions(settings.home / VERSIONS), WeightFolders.of_settings(settings)
    return Promotions(
        versions, model, lambda folder: load_segmenter(model, folder, focus=settings.focus, folders=folders)
    )


def _background_model(
    segmenter: str | Segmenter,
    checkpoint: Path | None,
    settings: Settings,
    promotions: Promotions | None,
    on_failure: Callable[[BaseException], None] | None,
) -> BackgroundModel:
    if promotions:
        return BackgroundModel(str(segmenter), _after_imports(promotions.first), on_failure)
    if isinstance(segmenter, str):
        name, folders = segmenter, WeightFolders.of_settings(settings)
        load = _after_imports(lambda: load_segmenter(name, checkpoint, focus=settings.focus, folders=folders))
        return BackgroundModel(name, load, on_failure)
    return BackgroundModel(segmenter.name, lambda: _correcting(segmenter), on_failure)


def _correcting(segmenter: Segmenter) -> Segmenter:
    # Imported here because it takes a tenth of a second, and the service listens before.
    from sam_backend.segmenters.correcting import Correcting

    return segmenter if isinstance(segmenter, Correcting) else Correcting(segmenter)


def _after_imports(load: Callable[[], Segmenter]) -> Callable[[], Segmenter]:
    def load_after_imports() -> Segmenter:
        for name in _SLOW_IMPORTS:
            import_module(name)
        return load()

    return load_after_imports
