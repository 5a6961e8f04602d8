"""Work on one project's memory from the command line, between Label Studio's API and the memory."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np

from sam_backend.cluster.work import THIS_PROCESS, Workers
from sam_backend.core.accepted_records import accepted_masks
from sam_backend.core.gathering import gather
from sam_backend.core.image_work import ImageFile, ProposeOnImage
from sam_backend.core.learner import embed_records
from sam_backend.core.model_loading import WorkerModel, load_model
from sam_backend.core.observer import Observer
from sam_backend.core.project_versions import forget_versions, work_folder
from sam_backend.core.proposed_masks import proposed_masks
from sam_backend.core.proposers import Proposers, proposer_of
from sam_backend.core.refiners import refiner_of
from sam_backend.core.task_embeddings import TaskEmbedding, TaskEmbeddings
from sam_backend.core.task_proposals import TaskProposals
from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.finetune.training_status import RUNNING, read_status
from sam_backend.labelstudio.addresses import literal_origin
from sam_backend.labelstudio.config import LabelingConfig, TaskImage
from sam_backend.labelstudio.outlines import TOLERANCE
from sam_backend.labelstudio.projects import Project, ProjectTask, open_project
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.memory.class_outlines import find_outlines
from sam_backend.memory.memories import Memories
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.memory.proposals import Proposer
from sam_backend.memory.ranking.signals import Signals, compute_signals, example_descriptor
from sam_backend.memory.ranking.strategies import Strategy
from sam_backend.memory.records import EmbedRecord
from sam_backend.pipeline.pipeline import Pipeline
from sam_backend.pipeline.sources import Propose
from sam_backend.progress import ProgressCallback
from sam_backend.segmenters import Segmenter
from sam_backend.segmenters.cache import EmbeddingCache
from sam_backend.segmenters.pixels import mapping_of
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)


@dataclass
class PredictionCounts:
    """How many predictions were written into Label Studio.

    Attributes
    ----------
    written : int, predictions.
    regions : int, the regions of all predictions.
    failed : int, tasks of which no image could be fetched.
    unknown : Counter, label -> masks that are left out because the labeling config does not have it.
    """

    written: int = 0
    regions: int = 0
    failed: int = 0
    unknown: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, eq=False)
class ProjectWork:
    """A project, its memory and a model; polygons are written with a tolerance in pixels.

    A pipeline, where there is one, proposes the masks. Workers elsewhere load `model`.
    """

    project: Project
    memory: ProjectMemory
    segmenter: Segmenter
    embeddings: TaskEmbeddings
    proposers: Proposers
    tolerance: float = TOLERANCE
    pipeline: Pipeline | None = None
    model: WorkerModel | None = None

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, project: str, model: str, checkpoint: Path | None) -> Iterator[ProjectWork]:
        """Open a project; raises the errors of `open_project` and `load_segmenter`."""
        servers = ServerRegistry.of_settings(settings)
        pipeline = Pipeline.load(settings.pipeline) if settings.pipeline else None
        opened = open_registered(servers, project)
        segmenter = load_model(settings, model, checkpoint)
        if pipeline:
            pipeline.require(segmenter.info)
        cache = EmbeddingCache.of_settings(settings)
        embeddings = TaskEmbeddings.of_settings(settings, servers, cache, Observer(), trusts_configs=True)
        memories = Memories(settings.home, servers)
        with suppress(OSError):
            memories.keep_owner(opened.uid)
        try:
            memory, proposers = memories.of(opened.uid), Proposers(settings.home)
            measured, tolerance = embeddings.measured(segmenter), settings.polygon_tolerance
            elsewhere = WorkerModel.of(settings, model, checkpoint, segmenter)
            yield cls(opened, memory, measured, embeddings, proposers, tolerance, pipeline, elsewhere)
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

    def pre_annotate(self, progress: ProgressCallback, workers: Workers = THIS_PROCESS) -> PredictionCounts:
        """Write a prediction for every unlabelled task; workers elsewhere get the files of images from here.

        Raises
        ------
        BadRequestError
            If the project has no examples, the model takes no texts, and no pipeline does without.
        """
        counts, config, tasks = PredictionCounts(), self._config, self._unlabelled_tasks()
        propose = ProposeOnImage(self.segmenter, self.embeddings, self.proposer(), self.pipeline, self.model)
        get = self._file if workers.are_elsewhere else self._fetched
        images = (get(task, image) for task in tasks for image in self._images(task))
        with closing(workers.map(propose, images)) as answers:
            for number, task in enumerate(tasks):
                progress(number, len(tasks))
                proposals, done = TaskProposals(self.tolerance), 0
                for image in self._images(task):
                    proposed = next(answers)
                    if isinstance(proposed, SamInspectError):
                        self._warn(task, image, proposed)
                    else:
                        done += 1
                        proposals.add(image, proposed.masks, proposed.mapping)
                if not done:
                    counts.failed += 1
                    continue
                self.project.predict(task, proposals.prediction(self.segmenter.version))
                counts.written += 1
                counts.regions += len(proposals.scores)
                counts.unknown += proposals.unknown(config)
        progress(len(tasks), len(tasks))
        return counts

    def rank(
        self, strategy: Strategy, seed: int, reading: ProgressCallback, writing: ProgressCallback
    ) -> list[tuple[int, Signals]]:
        """Order the unlabelled tasks, and write the place of each into the score of its prediction; the first is 0.

        Of a task with several images, the image that comes first counts. A prediction is replaced only by one with
        regions. Without examples, a task that has no prediction gets masks of everything, as if it were retrieved.
        """
        version = self.segmenter.version
        classes = self.memory.classes(version, self._config.knows)
        calibration, proposer = self.memory.calibration(version), self._proposer()
        tasks: list[ProjectTask] = []
        signals: list[Signals] = []
        proposals: dict[int, TaskProposals] = {}
        for task in self._unlabelled(reading):
            for image, fetched in self.images(task):
                tasks.append(task)
                embedding = fetched.overview(self.segmenter)
                outlines = find_outlines(self.segmenter, embedding, classes) if classes else []
                signals.append(compute_signals(self.segmenter, embedding, classes, outlines, calibration))
                on_task = proposals.setdefault(task.id, TaskProposals(self.tolerance))
                if proposer is not None or not task.has_prediction(version):
                    masks = proposed_masks(self.segmenter, fetched, proposer, self.propose)
                    on_task.add(image, masks, mapping_of(fetched.embedding))
        if not tasks:
            return []
        descriptors = [example_descriptor(vectors) for vectors in self.memory.examples(version).values()]
        labelled = np.stack(descriptors) if descriptors else np.zeros((0, len(signals[0].descriptor)), np.float32)
        first: dict[int, int] = {}
        for index in strategy(signals, labelled, np.random.default_rng(seed)):
            first.setdefault(tasks[index].id, index)
        for place, index in enumerate(first.values()):
            writing(place, len(first))
            task, score = tasks[index], round(place / len(first), 4)
            if task.has_prediction(version) and not proposals[task.id].regions:
                self.project.score(task, version, score)
            else:
                self.project.predict(task, {**proposals[task.id].prediction(version), "score": score})
        writing(len(first), len(first))
        return [(number, signals[index]) for number, index in first.items()]

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

    def proposer(self) -> Proposer | None:
        """Return what proposes masks for the project; None where a pipeline does without.

        Raises
        ------
        BadRequestError
            If the project has no examples, the model takes no texts, and no pipeline does without.
        """
        proposer = self._proposer()
        if proposer is None and (self.pipeline is None or self.pipeline.needs_project):
            raise BadRequestError(
                f"Project {self.project.id} has no examples yet: annotate an image, then run "
                f"sam-inspect memory rebuild --project {self.project.id}."
            )
        return proposer

    def labels(self) -> tuple[str, ...]:
        """Return the labels of the labeling config, then those of examples that the config does not list."""
        learnt = [label for label, _ in self.classes() if label != "background" and self._config.knows(label)]
        return tuple(dict.fromkeys((*self._config.texts, *learnt)))

    def _proposer(self) -> Proposer | None:
        texts = self._config.texts if "text" in self.segmenter.info.prompts else {}
        return self.proposers.of(self.memory, self.segmenter.version, self._config.knows, texts)

    @property
    def propose(self) -> Propose | None:
        """What proposes in the place of the proposer: the pipeline; None without one."""
        return self.pipeline.propose if self.pipeline else None

    @property
    def _embed_records(self) -> EmbedRecord:
        return embed_records(self.embeddings, self.segmenter, self.project.uid, self.memory)

    @property
    def _config(self) -> LabelingConfig:
        return LabelingConfig.parse(self.project.label_config)

    def _unlabelled(self, progress: ProgressCallback) -> Iterator[ProjectTask]:
        """Yield the unlabelled tasks."""
        tasks = self._unlabelled_tasks()
        for done, task in enumerate(tasks):
            progress(done, len(tasks))
            yield task
        progress(len(tasks), len(tasks))

    def _unlabelled_tasks(self) -> list[ProjectTask]:
        """Return the unlabelled tasks, without their annotations."""
        return [replace(task, annotations=()) for task in self.project.tasks() if not task.is_labelled]

    def images(self, task: ProjectTask) -> Iterator[tuple[TaskImage, TaskEmbedding]]:
        """Yield the images of a task with their embeddings; log one that cannot be fetched."""
        for image in self._images(task):
            fetched = self._fetched(task, image)
            if isinstance(fetched, SamInspectError):
                self._warn(task, image, fetched)
            else:
                yield image, fetched

    def _images(self, task: ProjectTask) -> Iterator[TaskImage]:
        return self._config.images(task.data)

    def _fetched(self, task: ProjectTask, image: TaskImage) -> TaskEmbedding | SamInspectError:
        try:
            url, configured = image.address(task.data), literal_origin(image.target.image.value)
            return self.embeddings.fetch(self.segmenter, url, self.project.uid, task.id, configured=configured)
        except SamInspectError as error:
            return error

    def _file(self, task: ProjectTask, image: TaskImage) -> ImageFile | SamInspectError:
        try:
            url, configured = image.address(task.data), literal_origin(image.target.image.value)
            return ImageFile(self.embeddings.read(url, self.project.uid, task.id, configured=configured), url)
        except SamInspectError as error:
            return error

    def _warn(self, task: ProjectTask, image: TaskImage, error: SamInspectError) -> None:
        page = self._config.page(image.target, image.item_index)
        logger.warning("Task %d gets no prediction%s: %s", task.id, page and f" on {page}", error)


def open_registered(servers: ServerRegistry, project: str) -> Project:
    """Open a project, and remember its server as `/setup` does, so that the images of its tasks can be fetched."""
    opened = open_project(servers, project)
    if not servers.uids(opened.uid) and (server := servers.find(opened.uid)):
        servers.remember(opened.uid, server.hostname, server.token)
    return opened


def forget(settings: Settings, project: str) -> list[str]:
    """Forget all examples of a project, its proposer and its refiner; return the uids that were forgotten.

    Parameters
    ----------
    settings : Settings, with the home folder.
    project : str, the project's id or its uid.

    Raises
    ------
    BadRequestError
        If no project or several projects with examples have this id, or a training of its parts runs: what it makes
        would serve afterwards.
    """
    memories = Memories(settings.home)
    known = [uid for uid in memories.projects() if project in (uid, uid.partition(".")[0])]
    if not known:
        raise BadRequestError(memories.problem() or f"Nothing is remembered of a project {project}.")
    if len(known) > 1:
        raise BadRequestError(f"Several projects are called {project}; name one of {', '.join(known)}.")
    parts = {memory: (proposer_of(memory), refiner_of(memory)) for memory in memories.all_of(known[0])}
    for model in chain.from_iterable(parts.values()):
        status = read_status(work_folder(settings.home, model))
        if status is not None and status.state == RUNNING:
            raise BadRequestError(
                f"A training of project {project} runs (process {status.process}); end it or wait for it, then forget."
            )
    for memory, models in parts.items():
        memory.store.forget()
        for model in models:
            forget_versions(settings.home, model)
    return known
