"""What an inspection line needs of a mask: a file of bounds, and which objects meet them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sam_evaluation.bounds import Bound
from sam_evaluation.errors import EvaluationError
from sam_evaluation.measurement import RECALLS
from sam_evaluation.metrics import Floats
from sam_evaluation.row_columns import METRICS, Metric, judged, metric_named, unknown

_SECTIONS = ("object", "recall")
_RECALL = ("threshold", "min_area", "recall")


@dataclass(frozen=True)
class ObjectCondition:
    """What one metric of every object must be."""

    metric: Metric
    bound: Bound

    def __str__(self) -> str:
        return f"{self.metric.name} {self.bound}"


@dataclass(frozen=True)
class RecallCondition:
    """How many objects must be found without a prompt.

    Attributes
    ----------
    threshold : IoU from which an object is found.
    min_area : pixels; smaller objects do not count.
    bound : of the share found.
    """

    threshold: float
    min_area: float
    bound: Bound

    def __str__(self) -> str:
        smaller = f" of objects of {self.min_area:g} px or more" if self.min_area else ""
        return f"recall at IoU {self.threshold:g}{smaller} {self.bound}"


@dataclass(frozen=True)
class Requirements:
    """Bounds of single objects and of all together.

    Attributes
    ----------
    objects : each object must meet all of them.
    recall : None where nothing is asked.
    """

    objects: tuple[ObjectCondition, ...] = ()
    recall: RecallCondition | None = None

    def met(self, rows: pd.DataFrame) -> Floats:
        """Return whether each object meets each condition, 1.0 or 0.0, (N, C).

        NaN where a condition says nothing of an object: the length and width of one that is not thin.
        """
        found = np.full((len(rows), len(self.objects)), np.nan)
        for column, condition in enumerate(self.objects):
            values = judged(rows, condition.metric)
            known = ~np.isnan(values)
            found[known, column] = condition.bound.holds(values[known])
        return found


def read_requirements(path: Path) -> Requirements:
    """Read a file of requirements; see `parse_requirements`.

    Raises
    ------
    EvaluationError
        If it cannot be read, or not be understood; the message names the file.
    """
    try:
        return parse_requirements(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise EvaluationError(f"The requirements {path} cannot be read: {reason}. Name a TOML file.") from error
    except EvaluationError as error:
        raise EvaluationError(f"{path}: {error}") from error


def parse_requirements(text: str) -> Requirements:
    """Read requirements in TOML.

    Signed errors (area, length, width) are bound by their magnitude.

    Raises
    ------
    EvaluationError
        If it is no TOML, names something unknown, or asks for nothing.

    Examples
    --------
    >>> text = '''
    ... [object]
    ... iou = ">= 0.8"
    ... width_error = "<= 0.1"
    ... [recall]
    ... threshold = 0.5
    ... min_area = 20
    ... recall = ">= 0.98"
    ... '''
    >>> [str(condition) for condition in parse_requirements(text).objects]
    ['iou >= 0.8', 'width_error <= 0.1']
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EvaluationError(f"Requirements are written in TOML; this is none: {error}.") from error
    for name, section in found.items():
        if name not in _SECTIONS:
            raise unknown("section of requirements", name, _SECTIONS)
        if not isinstance(section, dict):
            raise EvaluationError(f"{name} is a section of requirements, written [{name}]; got {section!r}.")
    objects = tuple(_condition(name, bound) for name, bound in found.get("object", {}).items())
    recall = _recall(found["recall"]) if "recall" in found else None
    if not objects and recall is None:
        raise EvaluationError(
            f"These requirements ask for nothing; write [object] with bounds of {', '.join(METRICS)}, or [recall]."
        )
    return Requirements(objects, recall)


def _condition(name: str, bound: Any) -> ObjectCondition:
    metric = metric_named(name)
    return ObjectCondition(metric, Bound.parse(bound, f"{name} in [object]", share=metric.bounded))


def _recall(section: dict[str, Any]) -> RecallCondition:
    for name in section:
        if name not in _RECALL:
            raise unknown("key of [recall]", name, _RECALL)
    if "recall" not in section:
        raise EvaluationError('[recall] needs a bound, such as recall = ">= 0.98".')
    threshold, area = section.get("threshold", 0.5), section.get("min_area", 0)
    # Objects that were found with less than the lowest IoU are written down as not found.
    for name, value, least, most in (("threshold", threshold, RECALLS[0], 1), ("min_area", area, 0, np.inf)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            what = f"an IoU from {least:g} to 1" if most == 1 else "a number of pixels, 0 or more"
            raise EvaluationError(f"{name} in [recall] is {what}; got {value!r}.")
    return RecallCondition(float(threshold), float(area), Bound.parse(section["recall"], "recall", share=True))
