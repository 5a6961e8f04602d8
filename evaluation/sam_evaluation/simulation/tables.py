"""What happened in all runs, as tables: a row an image, an action, a measurement, or a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from sam_evaluation.simulation.annotator import Fate
from sam_evaluation.simulation.journal import Journal, Labelled, Measured, Tuned
from sam_evaluation.simulation.loop import Task

ALL = "all"
"""Stands for the mean over the classes."""

_RUN = ("plan", "strategy", "seed", "images")
_IMAGE = (*_RUN, "image", "clicks", "objects", *Fate, "missed", "painted", "relabelled", "problem")
_ACTION = (*_RUN, "image", "fate", "label", "clicks", "painted", "relabelled", "iou", "score", "reached")
_QUALITY = (*_RUN, "version", "label", "pixel_iou", "box", "click")
_TUNING = (*_RUN, "version", "passed", "reason")


@dataclass(frozen=True, eq=False)
class Tables:
    """All that happened.

    Attributes
    ----------
    images : a row an image that was labelled. `images` is its place, from 1; clicks what it cost; objects and each
        fate are counts, missed the objects that nothing was proposed for; problem says why it could not be read.
    actions : a row an object or a proposal that was deleted; see `annotator.Action`.
    quality : a row a measurement and class, with `ALL` for their mean; box and click there alone.
    tunings : a row a training.
    """

    images: pd.DataFrame
    actions: pd.DataFrame
    quality: pd.DataFrame
    tunings: pd.DataFrame

    @classmethod
    def of(cls, tasks: Sequence[Task]) -> Tables:
        """Read the journals of runs."""
        images: list[dict[str, Any]] = []
        actions: list[dict[str, Any]] = []
        quality: list[dict[str, Any]] = []
        tunings: list[dict[str, Any]] = []
        for task in tasks:
            journal = Journal(task.journal)
            run = {"plan": task.plan.name, "strategy": task.plan.strategy, "seed": task.seed}
            for each in journal.of(Labelled):
                place = {**run, "images": each.images, "image": each.name}
                images.append({**place, **_counts(each), "problem": each.problem})
                actions += [{**place, **asdict(action)} for action in each.actions]
            for found in journal.of(Measured):
                about = {**run, "images": found.images, "version": found.version}
                quality.append(
                    {**about, "label": ALL, "pixel_iou": found.pixel_iou, "box": found.box, "click": found.click}
                )
                quality += [{**about, "label": label, "pixel_iou": iou} for label, iou in found.classes.items()]
            tunings += [{**run, **asdict(tuned)} for tuned in journal.of(Tuned)]
        return cls(
            pd.DataFrame(images, columns=list(_IMAGE)),
            pd.DataFrame(actions, columns=list(_ACTION)),
            pd.DataFrame(quality, columns=list(_QUALITY)).astype({"box": float, "click": float}),
            pd.DataFrame(tunings, columns=list(_TUNING)),
        )


def _counts(labelled: Labelled) -> dict[str, int]:
    actions = labelled.actions
    fates = {fate.value: sum(action.fate == fate for action in actions) for fate in Fate}
    return {
        "clicks": labelled.clicks,
        "objects": len(actions) - fates[Fate.DELETED],
        **fates,
        "missed": sum(action.fate == Fate.OUTLINED and not action.iou for action in actions),
        "painted": sum(action.painted for action in actions),
        "relabelled": sum(action.relabelled for action in actions),
    }
