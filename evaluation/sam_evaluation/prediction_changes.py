"""What people changed of the predictions that Label Studio showed them: the real saving, not a simulated one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel

from sam_backend.labelstudio.exports import ExportedAnnotation, ExportedTask
from sam_backend.labelstudio.region_changes import Outcome, RegionChange, region_changes
from sam_backend.validation import checked
from sam_evaluation import metrics, statistics
from sam_evaluation.datasets.label_studio import read_export
from sam_evaluation.errors import BrokenSampleError, EvaluationError

OPENED = "opened with the prediction"
UNSEEN = "in bulk or by a program"
SCRATCH = "without the prediction"

SHARES = UNCHANGED, MOVED, RELABELLED, DELETED, ADDED = tuple(outcome.value for outcome in Outcome)
DISTANCES = ("iou", "dice", "boundary_f", "hd95", "assd")
GROUPS = ("label", "model_version", "annotator", "start")

_TASK = ("task", "annotator", "model_version", "start", "lead_time")
_ROW = (*_TASK, "region", "label", "accepted_label", "matched", "outcome", *DISTANCES, "area", "accepted_area")
_SUMMARY = ("by", "group", "metric", "value", "low", "high", "objects", "images")
_HOW = (
    'export the predictions, too: POST {"serialization_options": {"predictions": {"only_id": false}}} to '
    "/api/projects/<id>/exports/ and download that export as JSON"
)


class _Prediction(BaseModel, frozen=True):
    id: int | None = None
    result: list[dict[str, Any]] | None = None
    model_version: str | None = None
    created_at: str | None = None


@dataclass(frozen=True, eq=False)
class PredictionChanges:
    """The predicted and the accepted regions of an export.

    Attributes
    ----------
    regions : DataFrame, one row for each region that was predicted, accepted, or both. Columns task, annotator,
        model_version, start (`OPENED`, `UNSEEN` or `SCRATCH`), lead_time (seconds), region (id), label (the predicted
        one; of an added region the accepted one), accepted_label ("" if deleted), matched ("id", "overlap", or ""
        without a partner), outcome, iou, dice, boundary_f, hd95, assd (pixels; NaN without a partner), area,
        accepted_area (pixels).
    tasks : DataFrame, one row for each task that could be used, with the columns of `regions` up to lead_time.
    broken : DataFrame, one row for each task that could not be used, with the reason.
    """

    regions: pd.DataFrame
    tasks: pd.DataFrame
    broken: pd.DataFrame


def read_changes(file: Path) -> PredictionChanges:
    """Compare the newest annotation of each task with the prediction that it was begun with.

    A predicted region is matched with the accepted region of the same id, or else with one that overlaps it on the same
    image, see `region_changes`. A matched region is unchanged if all
    pixels and the label are the same, relabelled if only the label differs, and moved if a pixel differs. A predicted
    region without a partner is deleted, and an accepted region without a partner is added.

    An annotation that was not begun with a prediction is compared with the prediction that shares most of its regions'
    ids, or with the newest one.

    Parameters
    ----------
    file : Path, Label Studio's JSON export.

    Raises
    ------
    EvaluationError
        If the file is no export, or no task has both an annotation and a complete prediction.
    """
    rows: list[dict[str, Any]] = []
    used: list[dict[str, Any]] = []
    export = read_export(file)
    broken: list[dict[str, Any]] = [{"task": None, "reason": reason} for reason in export.unreadable]
    for task in export.tasks:
        annotation = task.newest()
        if annotation is None:
            continue
        try:
            prediction, start = _begun_with(task, annotation)
            about = dict(
                zip(_TASK, (task.id, _person(annotation), _model(prediction), start, annotation.lead_time), strict=True)
            )
            sides = export.read(task, prediction.result), export.read(task, annotation.result)
            task_rows = [{**about, **_row(change)} for change in region_changes(*sides)]
        except BrokenSampleError as error:
            broken.append({"task": task.id, "reason": str(error)})
            continue
        used.append(about)
        rows += task_rows
    if not used:
        reason = broken[0]["reason"] if broken else "It holds no task with an annotation that is not cancelled."
        raise EvaluationError(f"{file} cannot tell what was accepted. {reason}")
    return PredictionChanges(
        pd.DataFrame(rows, columns=list(_ROW)).astype(dict.fromkeys(("lead_time", *DISTANCES), float)),
        pd.DataFrame(used, columns=list(_TASK)).astype({"lead_time": float}),
        pd.DataFrame(broken, columns=["task", "reason"]),
    )


def summary(accepted: PredictionChanges, *, seed: int = 0) -> pd.DataFrame:
    """Return shares and means over all regions and by class, model version, annotator, and how annotations were begun.

    Only annotations that were `OPENED` count, except in the groups of "start", since nobody can accept a prediction
    without seeing it.

    Parameters
    ----------
    accepted : PredictionChanges.
    seed : int, of the bootstrap.

    Returns
    -------
    DataFrame
        Columns by ("all" or one of `GROUPS`), group, metric, value, low, high (95 % interval of the bootstrap over
        images), objects (regions), images. The metrics unchanged, moved, relabelled and deleted are shares of the
        predicted regions and add up to 1. The metric added is the share of accepted regions without a prediction. The
        metrics iou, dice, boundary_f, hd95 and assd are means over the regions that were kept. The metric seconds is a
        mean over images, and its objects are images. Metrics without any value are left out.
    """
    rows, tasks = accepted.regions, accepted.tasks
    predicted, kept = rows["outcome"] != ADDED, rows["outcome"] != DELETED
    values = rows[list(DISTANCES)].copy()
    for place, outcome in enumerate(SHARES):
        counted = kept if outcome == ADDED else predicted
        values.insert(place, outcome, (rows["outcome"] == outcome).where(counted).astype(float))
    seconds = tasks[["lead_time"]].rename(columns={"lead_time": "seconds"})
    table: list[tuple[Any, ...]] = []
    for by in ("all", *GROUPS):
        for names, frame in ((values, rows), (seconds, tasks)):
            if by != "all" and by not in frame:
                continue
            some = frame if by == "start" else frame[frame["start"] == OPENED]
            groups = some.groupby(by).groups if by != "all" else {"all": some.index}
            for group, places in groups.items():
                estimates = statistics.means(names.loc[places], frame.loc[places, "task"], seed)
                table += [
                    (by, str(group), metric, *asdict(estimate).values())
                    for metric, estimate in zip(names.columns, estimates, strict=True)
                    if estimate.objects
                ]
    return pd.DataFrame(table, columns=list(_SUMMARY))


def _begun_with(task: ExportedTask, annotation: ExportedAnnotation) -> tuple[_Prediction, str]:
    """Return the prediction to compare an annotation with, and how the annotation was begun."""
    whole = [one for one in (*task.predictions, annotation.prediction) if isinstance(one, dict) and "result" in one]
    predictions = [checked(_Prediction, one, f"A prediction of task {task.id}") for one in whole]
    parent = annotation.parent_prediction
    if not predictions and parent is None and not task.predictions:
        raise BrokenSampleError(f"Task {task.id} holds no prediction, so nothing of it could be accepted.")
    ids = {region.get("id") for region in annotation.result or []} - {None}

    def shared(prediction: _Prediction) -> int:
        return len(ids & {region.get("id") for region in prediction.result or []})

    chosen = next((one for one in predictions if parent is not None and one.id == parent), None)
    if chosen is None:
        chosen = max(predictions, key=lambda one: (shared(one), one.created_at or ""), default=None)
        if chosen is None or (parent is not None and not shared(chosen)):
            raise BrokenSampleError(f"Task {task.id} holds the prediction it was begun with by its id only; {_HOW}.")
    if parent is None and not shared(chosen):
        return chosen, SCRATCH
    # An annotation that was opened in the page has a time; one of Label Studio's bulk action has none.
    return chosen, UNSEEN if annotation.lead_time is None else OPENED


def _model(prediction: _Prediction) -> str:
    return prediction.model_version or "unknown"


def _person(annotation: ExportedAnnotation) -> str:
    person = annotation.completed_by
    if isinstance(person, dict):
        return str(person.get("email") or person.get("id") or "unknown")
    return "unknown" if person is None else str(person)


def _row(change: RegionChange) -> dict[str, Any]:
    predicted, accepted = change.predicted, change.accepted
    either = predicted or accepted
    assert either is not None
    row: dict[str, Any] = {
        "region": either.id,
        "label": either.label,
        "accepted_label": accepted.label if accepted else "",
        "matched": change.matched,
        "outcome": change.outcome.value,
        "area": predicted.cropped.area if predicted else 0,
        "accepted_area": accepted.cropped.area if accepted else 0,
        **dict.fromkeys(DISTANCES, float("nan")),
    }
    if predicted and accepted:
        row.update({name: getattr(metrics, name)(predicted.mask, accepted.mask) for name in DISTANCES})
    return row
