"""One run: one way of labelling, one seed, image after image, from where it was to the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from sam_backend.finetune.recipe import recipe_for
from sam_backend.finetune.versions import VERSIONS, Versions
from sam_backend.memory.features import AcceptedMask
from sam_backend.memory.memory import FOLDER, Find, ProjectMemory
from sam_backend.memory.similarity import ClassModel
from sam_backend.memory.store import Record
from sam_backend.second_look import Focus
from sam_backend.segmenters import Segmenter
from sam_evaluation.errors import BrokenSampleError
from sam_evaluation.simulation.annotator import Habits, annotate
from sam_evaluation.simulation.choosing import choose
from sam_evaluation.simulation.data import Data
from sam_evaluation.simulation.images import Embeddings, ImageSet
from sam_evaluation.simulation.journal import Chosen, Done, Journal, Labelled, Measured, Tuned
from sam_evaluation.simulation.plans import RANDOM, Plan, rounds
from sam_evaluation.simulation.quality import Yardstick

JOURNAL = "journal.jsonl"

_TUNINGS = "tunings"
_BEGAN = datetime(2000, 1, 1, tzinfo=UTC)

Load = Callable[[Path | None], Segmenter]
"""Loads the model with the weights in a folder, or those that ship."""

Tell = Callable[[int, str], None]
"""Told images labelled, and what is being done."""


@dataclass(frozen=True)
class Conditions:
    """What decides the numbers beside the data, the way of labelling, and the seed.

    Attributes
    ----------
    model : by name.
    budget : images that are labelled.
    habits : of the annotator.
    tune_every : images after which the model is tuned again.
    tune_steps : length of a training at most.
    proposals : that an image comes with at most.
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
class Task:
    """A run that is to be done.

    Attributes
    ----------
    plan : the way of labelling.
    seed : of the stream, of what strategies draw, and of trainings.
    data : the images.
    conditions : all else.
    folder : of this run alone.
    """

    plan: Plan
    seed: int
    data: Data
    conditions: Conditions
    folder: Path

    @property
    def journal(self) -> Path:
        """The file of what happened."""
        return self.folder / JOURNAL


def is_done(task: Task) -> bool:
    """Whether nothing of a run is left to do."""
    journal, budget = Journal(task.journal), task.conditions.budget
    is_measured = not task.plan.memory or journal.at(Measured, budget) is not None
    return len(journal.of(Labelled)) == budget and is_measured


class Loop:
    """A run under way.

    What was labelled is in its journal, and all else follows from that: what the memory holds, what was tuned, what is
    labelled next. So a run that was killed goes on as though it had not been.

    Parameters
    ----------
    task : what is to be done.
    load : loads the model.
    embeddings : where embeddings are kept.
    """

    def __init__(self, task: Task, load: Load, embeddings: Embeddings) -> None:
        self._task, self._load = task, load
        self._plan, self._conditions = task.plan, task.conditions
        data = task.data
        self._journal = Journal(task.journal)
        self._images = ImageSet(data.labelled, data.stamp, embeddings)
        self._versions = Versions(task.folder / VERSIONS)
        self._segmenter = load(self._versions.checkpoint(task.conditions.model))
        self._memory = ProjectMemory(task.folder / FOLDER)
        self._ends = rounds(self._conditions.budget, self._conditions.tune_every)
        self._stream = data.stream(self._conditions.budget, task.seed)
        self._yardstick: Yardstick | None = None
        if self._plan.memory:
            measured = ImageSet(data.measured, data.stamp, embeddings)
            self._yardstick = Yardstick(measured, data.measured_names)
        self._classes = self._fitted()

    def run(self, tell: Tell) -> None:
        """Label what is left to label."""
        budget = self._conditions.budget
        for images in range(len(self._journal.of(Labelled)), budget + 1):
            tell(images, self._plan.name)
            if images in self._ends:
                self._end_round(images, tell)
            if images < budget:
                self._journal.append(self._label(images + 1, self._order()[images]))

    def _label(self, images: int, name: str) -> Labelled:
        """Label an image, which is the `images`-th."""
        try:
            sample = self._images.load(name)
            embedding = self._images.embed(self._segmenter, name)
        except BrokenSampleError as error:
            return Labelled(images, name, problem=str(error))
        finds: list[Find] = []
        if self._classes is not None:
            most = self._conditions.proposals
            finds = self._memory.find(self._segmenter, embedding, self._classes, limit=most)
        # Where several people outlined the same image, one of them is simulated.
        objects = [thing for thing in sample.objects if thing.annotator == sample.objects[0].annotator]
        actions = annotate(self._segmenter, embedding, objects, finds, self._conditions.habits)
        return Labelled(images, name, embedding.size, tuple(map(Done.of, actions)))

    def _order(self) -> list[str]:
        """Return what is labelled, as far as it is known."""
        if self._plan.strategy == RANDOM:
            return list(self._stream)
        # Before anything is labelled, there is nothing to choose by.
        return [*self._stream[: self._ends[0]], *(name for each in self._journal.of(Chosen) for name in each.names)]

    def _end_round(self, images: int, tell: Tell) -> None:
        """Learn, tune, measure and choose, whichever of it the plan has and is not done yet."""
        plan, conditions = self._plan, self._conditions
        if not plan.memory:
            return
        self._learn()
        is_due = images % conditions.tune_every == 0 and images < conditions.budget
        if plan.finetune and is_due and self._journal.at(Tuned, images) is None:
            self._tune(images, tell)
        if self._journal.at(Measured, images) is None:
            self._journal.append(self._measured(images))
        if plan.strategy != RANDOM and images < conditions.budget and self._journal.at(Chosen, images) is None:
            self._journal.append(Chosen(images, self._following(images)))

    def _learn(self) -> None:
        """Let the memory take in all that was accepted, as the service does after each annotation."""
        accepted = {each.images: each for each in self._journal.of(Labelled) if not each.problem}
        for number, each in accepted.items():
            updated = (_BEGAN + timedelta(seconds=number)).isoformat()
            self._memory.store.put(Record(number, updated, number, each.name))

        def read_masks(record: Record) -> list[AcceptedMask]:
            return [AcceptedMask(mask, label) for label, mask in accepted[record.annotation].accepted()]

        embed = lambda record: self._images.embed(self._segmenter, record.image)  # noqa: E731
        self._memory.catch_up(self._segmenter, embed, read_masks)
        self._memory.recalibrate(self._segmenter, embed, read_masks)
        self._classes = self._fitted()

    def _fitted(self) -> ClassModel | None:
        return self._memory.classes(self._segmenter.version, lambda label: True) if self._plan.memory else None

    def _tune(self, images: int, tell: Tell) -> None:
        """Tune the model, and go on with the tuned one where the gate lets it through."""
        # Imported here, for it needs PyTorch.
        from sam_evaluation.simulation.tuning import Tuning, forget_masks, tune

        task, conditions = self._task, self._conditions
        tuning = Tuning.small(
            conditions.model, recipe_for(conditions.model), conditions.tune_steps, task.seed, conditions.focus
        )
        accepted = [
            (self._images.load(each.name), [AcceptedMask(mask, label) for label, mask in each.accepted()])
            for each in self._journal.of(Labelled)
            if not each.problem
        ]
        folder = task.folder / _TUNINGS
        name = self._plan.name
        tuned = tune(tuning, images, accepted, folder, self._versions, lambda said: tell(images, f"{name}: {said}"))
        self._journal.append(tuned)
        forget_masks(folder, images)
        if tuned.passed:
            self._segmenter = self._load(self._versions.checkpoint(conditions.model))
            self._learn()

    def _measured(self, images: int) -> Measured:
        assert self._yardstick is not None
        version = self._segmenter.version
        classes = self._yardstick.pixel_iou(self._segmenter, self._classes)
        if not self._plan.finetune:
            return Measured(images, version, classes)
        for earlier in self._journal.of(Measured):
            if earlier.version == version:
                return Measured(images, version, classes, earlier.box, earlier.click)
        return Measured(images, version, classes, **self._yardstick.prompt_iou(self._segmenter))

    def _following(self, images: int) -> tuple[str, ...]:
        version = self._segmenter.version
        done = {each.name for each in self._journal.of(Labelled)}
        return choose(
            self._plan.strategy,
            self._ends[self._ends.index(images) + 1] - images,
            [name for name in self._stream if name not in done],
            self._images,
            self._segmenter,
            self._classes,
            self._memory.calibration(version),
            list(self._memory.examples(version).values()),
            np.random.default_rng([self._task.seed, images]),
        )
