"""One run: one plan and one seed, image after image, from where it stopped to the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sam_backend.finetune.refiner.names import SIMULATED
from sam_backend.finetune.tuning_recipe import recipe_for
from sam_backend.finetune.versions import VERSIONS, Versions
from sam_backend.memory.class_model import ClassModel
from sam_backend.memory.features import AcceptedMask
from sam_backend.memory.memories import FOLDER
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.memory.proposals import Proposer
from sam_backend.memory.records import Record
from sam_backend.progress import ProgressCallback, no_progress
from sam_backend.samples import Sample
from sam_backend.second_look import Focus
from sam_backend.segmenters import Segmenter, WeightFolders
from sam_backend.segmenters.correcting import Correcting
from sam_backend.segmenters.refiner.refiner import Refiner
from sam_backend.segmenters.views import View
from sam_evaluation.errors import BrokenSampleError
from sam_evaluation.simulation.annotator import Habits, Manner, annotate
from sam_evaluation.simulation.choosing import choose
from sam_evaluation.simulation.image_set import EmbeddingCaches, ImageSet
from sam_evaluation.simulation.journal import (
    ImageLabelled,
    ImagesChosen,
    Journal,
    ModelTuned,
    QualityMeasured,
    RecordedAction,
    RefinerTuned,
)
from sam_evaluation.simulation.plans import ARMS, PLAIN, RANDOM, Plan, rounds, stops_of
from sam_evaluation.simulation.quality import HeldOutImages
from sam_evaluation.simulation.simulation_data import SimulationData

if TYPE_CHECKING:
    from sam_backend.proposer.trained import TrainedProposer

JOURNAL = "journal.jsonl"
PROPOSER = "proposer:run"
"""The name of a run's proposer among its versions."""


_TUNINGS = "tunings"
_START = datetime(2000, 1, 1, tzinfo=UTC)

LoadModel = Callable[[Path | None], Segmenter]
"""A function that loads the model with the weights in a folder, or with the shipped weights for None."""


@dataclass(frozen=True)
class Conditions:
    """Everything that decides the numbers, except the data, the plan and the seed.

    Attributes
    ----------
    model : name of the model.
    budget : number of images to label.
    habits : Habits of the annotator.
    tune_every : number of images between two trainings.
    tune_steps : largest number of steps of a training.
    proposals : largest number of proposals of an image.
    focus : when the model takes a second look.
    """

    model: str = "nano"
    budget: int = 200
    habits: Habits = field(default_factory=Habits)
    tune_every: int = 70
    tune_steps: int = 200
    proposals: int = 20
    focus: Focus = Focus.AUTO


@dataclass(frozen=True)
class RunSpec:
    """What a run consists of.

    Attributes
    ----------
    plan : Plan, the way of labelling.
    seed : seed of the stream, of random choices and of trainings.
    data : SimulationData, the images.
    conditions : Conditions.
    folder : Path of the folder of this run alone.
    """

    plan: Plan
    seed: int
    data: SimulationData
    conditions: Conditions
    folder: Path

    @property
    def journal(self) -> Path:
        """The file of the run's events."""
        return self.folder / JOURNAL


def is_finished(spec: RunSpec) -> bool:
    """Whether nothing of a run is left to do."""
    journal, budget = Journal(spec.journal), spec.conditions.budget
    is_measured = not spec.plan.memory or journal.at(QualityMeasured, budget) is not None
    return len(journal.of(ImageLabelled)) == budget and is_measured


class Loop:
    """A run.

    Its journal holds what was labelled, and everything else follows from that: the content of the memory, the tuned
    model, the next images. A killed run therefore goes on as if nothing had happened.

    Parameters
    ----------
    spec : RunSpec.
    load : LoadModel.
    embeddings : EmbeddingCaches.
    weights : WeightFolders, where files of weights are; None for those of the settings of this process.
    """

    def __init__(
        self, spec: RunSpec, load: LoadModel, embeddings: EmbeddingCaches, weights: WeightFolders | None = None
    ) -> None:
        self._spec, self._load, self._weights = spec, load, weights
        self._plan, self._conditions = spec.plan, spec.conditions
        data = spec.data
        self._journal = Journal(spec.journal)
        self._images = ImageSet(data.labelled, data.fingerprint, embeddings)
        self._versions = Versions(spec.folder / VERSIONS)
        self._segmenter = self._serve()
        self._memory = ProjectMemory(spec.folder / FOLDER)
        self._ends = rounds(self._conditions.budget, self._conditions.tune_every)
        self._stream = data.stream(self._conditions.budget, spec.seed)
        self._held_out: HeldOutImages | None = None
        if self._plan.memory:
            measured = ImageSet(data.measured, data.fingerprint, embeddings)
            self._held_out = HeldOutImages(measured, data.measured_names)
        self._classes = self._fit_classes()
        self._trained = self._load_proposer()

    def run(self, progress: ProgressCallback = no_progress) -> None:
        """Label the remaining images.

        Parameters
        ----------
        progress : ProgressCallback, called with the images labelled, the budget, and the current work.
        """
        budget = self._conditions.budget
        for images in range(len(self._journal.of(ImageLabelled)), budget + 1):
            progress(images, budget, self._plan.name)
            if images in self._ends:
                self._end_round(images, progress)
            if images < budget:
                self._journal.append(self._label(images + 1, self._order()[images]))

    def _label(self, images: int, name: str) -> ImageLabelled:
        """Label an image; it is image number `images` of the run."""
        try:
            sample = self._images.load(name)
            embedding = self._images.embed(self._segmenter, name)
        except BrokenSampleError as error:
            return ImageLabelled(images, name, problem=str(error))
        proposer, limit = self._proposer(), self._conditions.proposals
        proposals = [] if proposer is None else proposer.propose(self._segmenter, embedding, limit=limit)
        # If several people outlined the same image, the first of them is simulated.
        objects = [target for target in sample.objects if target.annotator == sample.objects[0].annotator]
        habits, plan = self._conditions.habits, self._plan
        manner = Manner(plan.box, stops_of(habits.most_clicks, by_hand=plan == ARMS[PLAIN]))
        helped: Callable[[str], Segmenter] | None = None
        if self._classes is not None:
            helped = lambda label: self._memory.helping(self._segmenter, label, name)  # noqa: E731
        actions = annotate(self._segmenter, embedding, objects, proposals, habits, manner, helped)
        return ImageLabelled(images, name, embedding.size, tuple(map(RecordedAction.of, actions)))

    def _proposer(self) -> Proposer | None:
        """Return what proposes: the proposer that was promoted, else the memory; None without an example."""
        if self._trained is not None:
            return self._trained
        return None if self._classes is None else self._memory.proposer(self._classes, self._segmenter.version)

    def _load_proposer(self) -> TrainedProposer | None:
        """Return the proposer that was promoted in this run, or None."""
        folder = self._versions.checkpoint(PROPOSER)
        if not self._plan.proposer or folder is None:
            return None
        from sam_backend.proposer.trained import TrainedProposer

        return TrainedProposer(folder, threads=1)

    def _order(self) -> list[str]:
        """Return the names of the images to label, as far as they are known."""
        if self._plan.strategy == RANDOM:
            return list(self._stream)
        # The first images are random: without an example a strategy cannot choose.
        return [
            *self._stream[: self._ends[0]],
            *(name for chosen in self._journal.of(ImagesChosen) for name in chosen.names),
        ]

    def _end_round(self, images: int, progress: ProgressCallback) -> None:
        """Learn, tune, measure and choose, as far as the plan includes it and the journal does not have it yet."""
        plan, conditions = self._plan, self._conditions
        if not plan.memory:
            return
        self._learn()
        is_due = images % conditions.tune_every == 0 and images < conditions.budget
        if plan.finetune and is_due and self._journal.at(ModelTuned, images) is None:
            self._tune(images, progress)
        if plan.proposer and is_due and self._journal.at(ModelTuned, images) is None:
            self._train_proposer(images, progress)
        if plan.refiner and is_due and self._journal.at(RefinerTuned, images) is None:
            self._tune_refiner(images, progress)
        if self._journal.at(QualityMeasured, images) is None:
            self._journal.append(self._measure(images))
        if plan.strategy != RANDOM and images < conditions.budget and self._journal.at(ImagesChosen, images) is None:
            self._journal.append(ImagesChosen(images, self._choose(images)))

    def _learn(self) -> None:
        """Let the memory learn all accepted masks, as the service does after each annotation."""
        accepted = {event.images: event for event in self._labelled()}
        for number, event in accepted.items():
            updated = (_START + timedelta(seconds=number)).isoformat()
            self._memory.store.put(Record(number, updated, number, event.name))

        def read_masks(record: Record, _view: View | None) -> list[AcceptedMask]:
            return [AcceptedMask(mask, label) for label, mask in accepted[record.annotation].accepted()]

        embed = lambda record: self._images.embed(self._segmenter, record.image)  # noqa: E731
        self._memory.catch_up(self._segmenter, embed, read_masks)
        self._memory.recalibrate(self._segmenter, embed, read_masks)
        self._classes = self._fit_classes()

    def _labelled(self) -> list[ImageLabelled]:
        return [event for event in self._journal.of(ImageLabelled) if not event.problem]

    def _fit_classes(self) -> ClassModel | None:
        return self._memory.classes(self._segmenter.version, lambda label: True) if self._plan.memory else None

    def _tune(self, images: int, progress: ProgressCallback) -> None:
        """Tune the model, and use the tuned one from now on if it passes the gate."""
        # Imported here because it needs PyTorch.
        from sam_evaluation.simulation.simulated_tuning import TuningSettings, delete_masks, tune

        spec, conditions = self._spec, self._conditions
        tuning = TuningSettings.small(
            conditions.model,
            recipe_for(conditions.model),
            conditions.tune_steps,
            spec.seed,
            conditions.focus,
            self._weights,
        )
        accepted = self._accepted()
        folder = spec.folder / _TUNINGS
        name = self._plan.name

        def report(done: int, total: int, doing: str = "", /) -> None:
            progress(images, conditions.budget, f"{name}: {doing}")

        tuned = tune(tuning, images, accepted, folder, self._versions, report)
        self._journal.append(tuned)
        delete_masks(folder, images)
        if tuned.passed:
            self._segmenter = self._serve()
            self._learn()

    def _train_proposer(self, images: int, progress: ProgressCallback) -> None:
        """Train the proposer, and use it from now on if it passes the gate."""
        # Imported here because it needs PyTorch.
        from sam_evaluation.simulation.simulated_proposer import train

        spec, name = self._spec, self._plan.name
        work = spec.folder / _TUNINGS / "proposer"

        def report(done: int, total: int, doing: str = "", /) -> None:
            progress(images, self._conditions.budget, f"{name}: {doing}")

        tuned = train(self._accepted(), self._segmenter, images, spec.seed, work, self._versions, report)
        self._journal.append(tuned)
        self._trained = self._load_proposer()

    def _accepted(self) -> list[tuple[Sample, list[AcceptedMask]]]:
        return [
            (self._images.load(event.name), [AcceptedMask(mask, label) for label, mask in event.accepted()])
            for event in self._labelled()
        ]

    def _tune_refiner(self, images: int, progress: ProgressCallback) -> None:
        """Tune the refiner, and correct masks with the tuned one from now on if it passes the gate."""
        # Imported here because it needs PyTorch.
        from sam_evaluation.simulation.simulated_refiner import AcceptedSamples, tune

        spec, name = self._spec, self._plan.name
        masks = {
            event.name: [AcceptedMask(mask, label) for label, mask in event.accepted()] for event in self._labelled()
        }
        served = self._load(self._versions.checkpoint(spec.conditions.model))
        assert isinstance(served, Correcting)

        def report(done: int, total: int, doing: str = "", /) -> None:
            progress(images, spec.conditions.budget, f"{name}: {doing}")

        accepted = AcceptedSamples(self._images.load, masks)
        tuned = tune(served, images, accepted, spec.folder / _TUNINGS, self._versions, spec.seed, report)
        self._journal.append(tuned)
        self._segmenter = self._serve()

    def _serve(self) -> Segmenter:
        """Return the model and the refiner that passed their gates last."""
        segmenter = self._load(self._versions.checkpoint(self._spec.conditions.model))
        folder = self._versions.checkpoint(SIMULATED)
        if folder is None or not isinstance(segmenter, Correcting):
            return segmenter
        return segmenter.with_refiner(Refiner(folder, beside=segmenter.refiner))

    def _measure(self, images: int) -> QualityMeasured:
        assert self._held_out is not None
        version = self._segmenter.version
        classes = self._held_out.pixel_iou(self._segmenter, self._classes)
        if not self._plan.finetune:
            return QualityMeasured(images, version, classes)
        for earlier in self._journal.of(QualityMeasured):
            if earlier.version == version:
                return QualityMeasured(images, version, classes, earlier.box, earlier.click)
        return QualityMeasured(images, version, classes, **self._held_out.prompt_iou(self._segmenter))

    def _choose(self, images: int) -> tuple[str, ...]:
        version = self._segmenter.version
        done = {event.name for event in self._journal.of(ImageLabelled)}
        return choose(
            self._plan.strategy,
            self._ends[self._ends.index(images) + 1] - images,
            [name for name in self._stream if name not in done],
            self._images,
            self._segmenter,
            self._classes,
            self._memory.calibration(version),
            list(self._memory.examples(version).values()),
            np.random.default_rng([self._spec.seed, images]),
        )
