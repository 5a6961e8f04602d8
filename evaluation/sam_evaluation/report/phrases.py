"""Protocols and differences as they read in the sentences and the tables of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sam_evaluation.protocols.concept_protocols import EXEMPLAR, TEXT
from sam_evaluation.protocols.named_protocols import AFTER_BOX, AFTER_SPREAD, EVERYTHING, UNPROMPTED
from sam_evaluation.report.numbers import number
from sam_evaluation.row_columns import clicks_of

_ORDER = (
    "box",
    "box:jitter",
    "click",
    "click:spread",
    "click:random",
    "clicks",
    "spread-clicks",
    "box+clicks",
    *UNPROMPTED,
)
_PHRASES = {
    "box": "with a box",
    "box:jitter": "with a loose box",
    "click": "with one click",
    "click:random": "with one random click",
    "click:spread": "with one click near the centre",
    EVERYTHING: "without a prompt",
    TEXT: "with the name of the class",
    EXEMPLAR: "with a box around another one",
}


def protocol_order(protocol: str) -> int:
    """Return the position of a protocol in lists: protocols with more information for the model come first."""
    name = protocol.partition(":")[0] if clicks_of(protocol) else protocol
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def phrase(protocol: str) -> str:
    """Return a protocol as part of a sentence: "with a box", "after 5 clicks", "after a box and 5 clicks"."""
    clicks = clicks_of(protocol)
    if protocol.startswith(AFTER_BOX):
        return f"after a box and {clicks} clicks"
    if protocol.startswith(AFTER_SPREAD):
        return f"after {clicks} clicks near the centres"
    return f"after {clicks} clicks" if clicks else _PHRASES.get(protocol, protocol)


def opening(protocol: str) -> str:
    """Return a protocol as the start of a sentence: "With a box"."""
    text = phrase(protocol)
    return text[0].upper() + text[1:]


def excludes_zero(row: Mapping[Any, Any]) -> bool:
    """Return whether the interval `low` to `high` of a difference excludes 0."""
    return bool(np.sign(row["low"]) == np.sign(row["high"]) != 0)


def magnitude(row: Mapping[Any, Any]) -> str:
    """Return the absolute value of a difference with its interval, for a sentence that gives the sign in words."""
    ends = sorted((abs(row["low"]), abs(row["high"])))
    return f"{number(abs(row['value']))} [{number(ends[0])}, {number(ends[1])}]"
