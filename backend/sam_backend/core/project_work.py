"""Work on one project's memory from the command line, between Label Studio's API and the memory."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sam_backend.core.accepted_records import accepted_masks
from sam_backend.core.gathering import gather
from sam_backend.core.learner import embed_records
from sam_backend.core.observer import Observer
from sam_backend.core.predictor import MAX_PROPOSALS, proposals_prediction
from sam_backend.core.task_embeddings import TaskEmbeddings
from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.finetune.served_version import LoadWeights, load_served
from sam_backend.finetune.versions import VERSIONS, Versions
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.projects import Project, ProjectTask, open_project
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.memory.class_outlines import find_outlines
from sam_backend.memory.memories import Memories
from sam_backend.memory.project_memory import MemoryProposal, ProjectMemory
from sam_backend.memory.ranking.signals import Signals, compute_signals, example_descriptor
from sam_backend.memory.ranking.strategies import Strategy
from sam_backend.memory.records import EmbedRecord
from sam_backend.progress import ProgressCallback
from sam_backend.segmenters import Embedding, Segmenter, WeightFolders
from sam_backend.segmenters.cache import EmbeddingCache
from sam_backend.segmenters.model_registry import load_segmenter
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)


@dataclass
class PredictionCounts:
    """How many predictions were written into Label Studio.

    Attributes
    ----------
    written : int, predictions.
    regions : int, the regions of all predictions.
    failed : int, tasks whose image could not be fetched.
    """

    written: int = 0
    regions: int = 0
    failed: int = 0


@dataclass(frozen=True, eq=False)
class ProjectWork:
    """A project, its memory and a model."""

    project: Project
    memory: ProjectMemory
    segmenter: Segmenter
    embeddings: TaskEmbeddings

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, project: str, model: str, checkpoint: Path | None) -> Iterator[ProjectWork]:
        """Open a project; raises the errors of `open_project` and `load_segmenter`."""
        servers = ServerRegistry.of_settings(settings)
        opened = open_project(servers, project)
        if not servers.uids(opened.uid) and (server := servers.find(opened.uid)):
            # As `/setup` does, so that the images of its tasks can be fetched.
            servers.remember(opened.uid, server.hostname, server.token)
        folders = WeightFolders.of_settings(settings)
        load: LoadWeights = lambda weights: load_segmenter(model, weights, focus=settings.focus, folders=folders)  # noqa: E731
        versions = Versions(settings.home / VERSIONS)
        segmenter = load(checkpoint) if checkpoint else load_served(versions, model, load).segmenter
        cache = EmbeddingCache.of_settings(settings)
        embeddings = TaskEmbeddings.of_settings(settings, servers, cache, Observer())
        try:
            yield cls(opened, Memories(settings.home).of(opened.uid), embeddings.measured(segmenter), embeddings)
        finally:
            cache.close()

    def gather(self, progress: ProgressCallback) -> None:
        """Replace the memory's records with the annotations that Label Studio holds."""
        gather(self.project, self.memory, progress)
        self.memory.store.gaps.mark_complete()

    def learn(self, progress: ProgressCallback) -> None:
        """Compute the examples of the records that the model has not seen."""
        embed = self._embed_records
        self.memory.catch_up(self.segmenter, embed, accepted_masks, progress=progress)
        self.memory.recalibrate(self.segmenter, embed, accepted_masks)

    def pre_annotate(self, progress: ProgressCallback) -> PredictionCounts:
        """Write a prediction for every unlabelled task.

        Raises
        ------
        BadRequestError
            If the project has no examples.
        """
        target = LabelingConfig.parse(self.project.label_config).target()
        classes = self.memory.classes(self.segmenter.version, target.knows)
        if classes is None:
            raise BadRequestError(
                f"Project {self.project.id} has no examples yet: annotate an image, then run "
                f"sam-inspect memory rebuild --project {self.project.id}."
            )
        counts = PredictionCounts()
        for task, embedding in self._unlabelled(progress, counts):
            proposals = self.memory.propose(self.segmenter, embedding, classes, limit=MAX_PROPOSALS)
            prediction = proposals_prediction(proposals, target, self.segmenter.version)
            self.project.predict(task, prediction)
            counts.written += 1
            counts.regions += len(proposals)
        return counts

    def rank(
        self, strategy: Strategy, seed: int, reading: ProgressCallback, writing: ProgressCallback
    ) -> list[tuple[int, Signals]]:
        """Order the unlabelled tasks, and write the place of each into the score of its prediction; the first is 0."""
        target = LabelingConfig.parse(self.project.label_config).target()
        version = self.segmenter.version
        classes = self.memory.classes(version, target.knows)
        calibration = self.memory.calibration(version)
        tasks: list[ProjectTask] = []
        signals: list[Signals] = []
        proposals: list[list[MemoryProposal]] = []
        for task, embedding in self._unlabelled(reading, PredictionCounts()):
            tasks.append(task)
            outlines = find_outlines(self.segmenter, embedding, classes) if classes else []
            signals.append(compute_signals(self.segmenter, embedding, outlines, calibration))
            proposals.append(self.memory.select(outlines, version, embedding.size, limit=MAX_PROPOSALS))
        if not tasks:
            return []
        descriptors = [example_descriptor(vectors) for vectors in self.memory.examples(version).values()]
        labelled = np.stack(descriptors) if descriptors else np.zeros((0, len(signals[0].descriptor)), np.float32)
        order = strategy(signals, labelled, np.random.default_rng(seed))
        for place, index in enumerate(order):
            writing(place, len(order))
            prediction = proposals_prediction(proposals[index], target, version)
            self.project.predict(tasks[index], {**prediction, "score": round(place / len(order), 4)})
        writing(len(order), len(order))
        return [(tasks[index].id, signals[index]) for index in order]

    def queue_by_score(self) -> None:
        """Order the project's labelling queue by the scores."""
        self.project.queue_by_score(self.segmenter.version)

    def classes(self) -> list[tuple[str, int]]:
        """Return every class with the number of images that show it, the background first."""
        heads = self.memory.store.example_heads(self.segmenter.version).values()
        counts = Counter(label for head in heads for label in head.labels)
        return [(label or "background", counts[label]) for label in sorted(counts)]

    def problems(self) -> list[str]:
        """Return one line per annotation that is not an example, with the reason."""
        lines = [
            f"Annotation {annotation} of task {task} is left out: {reason}"
            for annotation, task, reason in self.memory.store.problems(self.segmenter.version)
        ]
        return lines + self.memory.store.gaps.reasons()

    def summary(self) -> str:
        """Return one line that says how many annotations are examples."""
        store, version = self.memory.store, self.segmenter.version
        used = len({head.record.annotation for head in store.example_heads(version).values() if not head.problem})
        waiting = len(store.missing(version))
        known = len({record.annotation for record in store.heads() if not record.deleted})
        return f"{used} of {known} annotations are examples for {version}; {waiting} could not be encoded yet."

    @property
    def _embed_records(self) -> EmbedRecord:
        return embed_records(self.embeddings, self.segmenter, self.project.uid)

    def _unlabelled(
        self, progress: ProgressCallback, counts: PredictionCounts
    ) -> Iterator[tuple[ProjectTask, Embedding]]:
        """Yield the unlabelled tasks with their embeddings; log and count a task whose image cannot be fetched."""
        image = LabelingConfig.parse(self.project.label_config).target().image
        tasks = [replace(task, annotations=()) for task in self.project.tasks() if not task.is_labelled]
        for done, task in enumerate(tasks):
            progress(done, len(tasks))
            try:
                url = image.source(task.data)
                embedding = self.embeddings.fetch(self.segmenter, url, self.project.uid, task.id).embedding
            except SamInspectError as error:
                logger.warning("Task %d gets no prediction: %s", task.id, error)
                counts.failed += 1
                continue
            yield task, embedding
        progress(len(tasks), len(tasks))


def forget(settings: Settings, project: str) -> list[str]:
    """Forget all examples of a project, given by its id or its uid; return the uids that were forgotten.

    Raises
    ------
    BadRequestError
        If no project or several projects with examples have this id.
    """
    memories = Memories(settings.home)
    known = [uid for uid in memories.projects() if project in (uid, uid.partition(".")[0])]
    if not known:
        raise BadRequestError(f"Nothing is remembered of a project {project}.")
    if len(known) > 1:
        raise BadRequestError(f"Several projects are called {project}; name one of {', '.join(known)}.")
    memories.of(known[0]).store.forget()
    return known
