"""The events of all runs as tables: a row an image, an action, a measurement, or a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from sam_evaluation.coco_rle import area_of
from sam_evaluation.simulation.actions import Fate
from sam_evaluation.simulation.journal import ImageLabelled, Journal, ModelTuned, QualityMeasured, RefinerTuned
from sam_evaluation.simulation.loop import RunSpec

ALL = "all"
"""The label of the mean over the classes."""

_RUN = ("plan", "strategy", "seed", "images")
_IMAGE = (*_RUN, "image", "clicks", "objects", *Fate, "missed", "painted", "relabelled", "problem")
_ACTION = (
    *(*_RUN, "image", "fate", "label", "area", "clicks", "painted", "relabelled", "iou", "border", "score"),
    *("tools", "reached", "borders", "paintings"),
)
_QUALITY = (*_RUN, "version", "label", "pixel_iou", "box", "click")
_TUNING = (*_RUN, "part", "version", "passed", "reason")


@dataclass(frozen=True, eq=False)
class RunTables:
    """All events of all runs.

    Attributes
    ----------
    images : a row a labelled image. `images` is its place in the run, from 1; objects and each fate are counts; missed
        is the number of objects without a proposal; problem says why the image could not be read.
    actions : a row an object or a deleted proposal; see `annotator.Action`. area is that of the accepted mask in
        pixels; 0 for none.
    quality : a row a measurement and class, with the label `ALL` for the mean; only that row has box and click.
    tunings : a row a training.
    """

    images: pd.DataFrame
    actions: pd.DataFrame
    quality: pd.DataFrame
    tunings: pd.DataFrame

    @classmethod
    def of(cls, specs: Sequence[RunSpec]) -> RunTables:
        """Read the journals of runs."""
        images: list[dict[str, Any]] = []
        actions: list[dict[str, Any]] = []
        quality: list[dict[str, Any]] = []
        tunings: list[dict[str, Any]] = []
        for spec in specs:
            journal = Journal(spec.journal)
            run = {"plan": spec.plan.name, "strategy": spec.plan.strategy, "seed": spec.seed}
            for labelled in journal.of(ImageLabelled):
                image = {**run, "images": labelled.images, "image": labelled.name}
                images.append({**image, **_counts(labelled), "problem": labelled.problem})
                areas = (area_of(action.rle, labelled.size) for action in labelled.actions)
                actions += [
                    {**image, **vars(action), "area": area}
                    for action, area in zip(labelled.actions, areas, strict=True)
                ]
            for measured in journal.of(QualityMeasured):
                row = {**run, "images": measured.images, "version": measured.version}
                means = {"pixel_iou": measured.pixel_iou, "box": measured.box, "click": measured.click}
                quality.append({**row, "label": ALL, **means})
                quality += [{**row, "label": label, "pixel_iou": iou} for label, iou in measured.classes.items()]
            tunings += [{**run, "part": "model", **asdict(tuned)} for tuned in journal.of(ModelTuned)]
            tunings += [{**run, "part": "refiner", **asdict(tuned)} for tuned in journal.of(RefinerTuned)]
        return cls(
            pd.DataFrame(images, columns=list(_IMAGE)),
            pd.DataFrame(actions, columns=list(_ACTION)),
            pd.DataFrame(quality, columns=list(_QUALITY)).astype({"box": float, "click": float}),
            pd.DataFrame(tunings, columns=list(_TUNING)),
        )


def _counts(labelled: ImageLabelled) -> dict[str, int]:
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
