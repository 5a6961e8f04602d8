"""Compares accepted annotations with the predictions that they were begun with, which Label Studio holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from sam_backend.errors import BrokenSampleError
from sam_backend.labelstudio.accepted_masks import MaskRule, read_regions
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.projects import Project
from sam_backend.labelstudio.region_changes import region_changes
from sam_backend.memory.agreement import Compared
from sam_backend.memory.example_store import ExampleStore
from sam_backend.memory.records import Record


def compare_annotations(
    project: Project,
    store: ExampleStore,
    on_compared: Callable[[Compared], None] = lambda compared: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Compare every annotation whose last state was not compared yet, and keep what became of its proposals.

    Parameters
    ----------
    project : Project, is asked for the predictions.
    store : ExampleStore of the project.
    on_compared : function, called with the first comparison of each annotation.
    should_stop : function that is called before each annotation; if it returns True, the rest is left for later.

    Raises
    ------
    BadRequestError
        If the labeling config of the project has no control for masks.
    ImageServerError
        If Label Studio refuses or does not answer.
    OSError
        If the memory cannot be written.
    """
    rule = MaskRule.of_config(LabelingConfig.parse(project.label_config))
    for head in store.uncompared():
        if should_stop():
            return
        compared = _compare(project, store, head, rule)
        with store.writing() as index:
            before = store.agreement.all().get(head.annotation)
            # Meanwhile, another server may have compared it, or somebody may have forgotten the project.
            if not index.keys_of(head.annotation) or (before is not None and before.updated == head.updated):
                continue
            store.agreement.add(compared)
        if before is None and not compared.problem:
            on_compared(compared)


def _compare(project: Project, store: ExampleStore, head: Record, rule: MaskRule) -> Compared:
    uncompared = Compared(head.annotation, head.updated)
    prediction = next((one for one in project.predictions(head.task) if one.id == head.prediction), None)
    if prediction is None:
        return replace(uncompared, problem=f"Its prediction {head.prediction} is gone.")
    records = [store.whole(record.key) for record in store.of_annotation(head.annotation)]
    entries = [entry for record in records if record for entry in record.regions]
    try:
        predicted = [entry for entry in prediction.result or () if isinstance(entry, dict)]
        # The labeling config does not have the names of the images of a Repeater.
        is_known = rule.targets is not None and {entry.get("to_name") for entry in predicted} <= set(rule.targets)
        sides = read_regions(predicted, rule if is_known else MaskRule()), read_regions(entries, MaskRule())
        changes = list(region_changes(*sides))
    except BrokenSampleError as error:
        return replace(uncompared, model=prediction.model_version, problem=str(error))
    outcomes = Counter(change.outcome.value for change in changes)
    ious = [round(change.iou, 4) for change in changes if change.iou is not None]
    return replace(uncompared, model=prediction.model_version, outcomes=dict(outcomes), ious=ious)
