"""How numbers are written in a report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

SHARE = "z.3f"
"""Of IoU and other shares."""

PERCENT = "z.0%"
CLICKS = "z.1f"
PIXELS = "z.1f"
DIFFERENCE = "+z.3f"

NOTHING = "\N{EN DASH}"
"""Where there is no number."""


def number(value: float, style: str = SHARE) -> str:
    """Write a number; a dash for NaN."""
    return (
        NOTHING
        if math.isnan(value)
        else format(value, style).replace("-", "\N{MINUS SIGN}").replace("%", "\N{NO-BREAK SPACE}%")
    )


def estimate(row: Mapping[Any, Any], style: str = SHARE, *, prefix: str = "") -> str:
    """Write the value of a row of a table with its interval: `0.712 [0.690, 0.733]`, or `71 % [69, 73]`.

    Parameters
    ----------
    row : with `value`, `low` and `high`.
    style : one of the styles above.
    prefix : of the columns of the interval.
    """
    value = row[prefix.rstrip("_") or "value"]
    if math.isnan(value):
        return NOTHING
    ends = [number(row[f"{prefix}{end}"], style).removesuffix("\N{NO-BREAK SPACE}%") for end in ("low", "high")]
    bounds = NOTHING if NOTHING in ends else ", ".join(ends)
    return f"{number(value, style)} [{bounds}]"


def count(many: int, thing: str, several: str | None = None) -> str:
    """Write how many there are: `1 image`, `1,204 images`."""
    return f"{many:,} {thing if many == 1 else several or thing + 's'}"


def listed(names: list[str]) -> str:
    """Write `a, b and c`."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
