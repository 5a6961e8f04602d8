"""Numbers as the text of a report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

SHARE = "z.3f"
"""The style of IoU and other shares."""

PERCENT = "z.0%"
CLICKS = "z.1f"
PIXELS = "z.1f"
DIFFERENCE = "+z.3f"

NOTHING = "\N{EN DASH}"
"""The text for a missing number."""


def number(value: float, style: str = SHARE) -> str:
    """Return a number as text; a dash for NaN."""
    return (
        NOTHING
        if math.isnan(value)
        else format(value, style).replace("-", "\N{MINUS SIGN}").replace("%", "\N{NO-BREAK SPACE}%")
    )


def estimate(row: Mapping[Any, Any], style: str = SHARE, *, prefix: str = "") -> str:
    """Return the value of a row of a table with its interval as text: `0.712 [0.690, 0.733]`, or `71 % [69, 73]`.

    Parameters
    ----------
    row : mapping with `value`, `low` and `high`.
    style : str, one of the styles above.
    prefix : str, the prefix of the columns of the interval, for example "difference_".
    """
    value = row[prefix.rstrip("_") or "value"]
    if math.isnan(value):
        return NOTHING
    ends = [number(row[f"{prefix}{end}"], style).removesuffix("\N{NO-BREAK SPACE}%") for end in ("low", "high")]
    bounds = NOTHING if NOTHING in ends else ", ".join(ends)
    return f"{number(value, style)} [{bounds}]"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number of things as text: `1 image`, `1,204 images`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(names: list[str]) -> str:
    """Return names as text: `a, b and c`."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
