"""The requirements of an inspection line: a file of bounds, and the objects that meet them."""

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
    """A bound on one metric of every object."""

    metric: Metric
    bound: Bound

    def __str__(self) -> str:
        return f"{self.metric.name} {self.bound}"


@dataclass(frozen=True)
class RecallCondition:
    """A bound on the share of the objects that are found without a prompt.

    Attributes
    ----------
    threshold : float, the IoU from which an object counts as found.
    min_area : float, in pixels; smaller objects do not count.
    bound : Bound on the share.
    """

    threshold: float
    min_area: float
    bound: Bound

    def __str__(self) -> str:
        smaller = f" of objects of {self.min_area:g} px or more" if self.min_area else ""
        return f"recall at IoU {self.threshold:g}{smaller} {self.bound}"


@dataclass(frozen=True)
class Requirements:
    """Bounds on single objects, and on the recall over all objects.

    Attributes
    ----------
    objects : tuple of ObjectCondition; each object must meet all of them.
    recall : RecallCondition, or None without a bound on the recall.
    """

    objects: tuple[ObjectCondition, ...] = ()
    recall: RecallCondition | None = None

    def met(self, rows: pd.DataFrame) -> Floats:
        """Return whether each of N objects meets each of C conditions: (N, C) of 1.0 or 0.0.

        The value is NaN where a condition does not apply: length and width apply only to thin objects.
        """
        met = np.full((len(rows), len(self.objects)), np.nan)
        for column, condition in enumerate(self.objects):
            values = judged(rows, condition.metric)
            known = ~np.isnan(values)
            met[known, column] = condition.bound.holds(values[known])
        return met


def read_requirements(path: Path) -> Requirements:
    """Read a file of requirements; see `parse_requirements`.

    Raises
    ------
    EvaluationError
        If the file cannot be read or is not valid; the message names the file.
    """
    try:
        return parse_requirements(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise EvaluationError(f"The requirements {path} cannot be read: {reason}. Name a TOML file.") from error
    except EvaluationError as error:
        raise EvaluationError(f"{path}: {error}") from error


def parse_requirements(text: str) -> Requirements:
    """Read requirements in TOML.

    A bound on a signed error (area, length, width) applies to its absolute value.

    Raises
    ------
    EvaluationError
        If the text is not TOML, contains an unknown name, or contains no bound.

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
        sections = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EvaluationError(f"Requirements must be a TOML file; this is not valid TOML: {error}.") from error
    for name, section in sections.items():
        if name not in _SECTIONS:
            raise unknown("section of requirements", name, _SECTIONS)
        if not isinstance(section, dict):
            raise EvaluationError(f"{name} is a section of requirements, written [{name}]; got {section!r}.")
    objects = tuple(_condition(name, bound) for name, bound in sections.get("object", {}).items())
    recall = _recall(sections["recall"]) if "recall" in sections else None
    if not objects and recall is None:
        raise EvaluationError(
            f"These requirements contain no bound; write [object] with bounds of {', '.join(METRICS)}, or [recall]."
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
    # An object that was found with less than the lowest IoU is recorded as not found.
    for name, value, least, most in (("threshold", threshold, RECALLS[0], 1), ("min_area", area, 0, np.inf)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            what = f"an IoU from {least:g} to 1" if most == 1 else "a number of pixels, 0 or more"
            raise EvaluationError(f"{name} in [recall] is {what}; got {value!r}.")
    return RecallCondition(float(threshold), float(area), Bound.parse(section["recall"], "recall", share=True))
