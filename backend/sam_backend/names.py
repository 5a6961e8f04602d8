"""The nearest known name to an unknown one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: `; did you mean X?` if a known name is near, else `.`.

    Examples
    --------
    >>> did_you_mean("namo", ["nano", "grabcut"])
    '; did you mean nano?'
    >>> did_you_mean("yolo", ["nano", "grabcut"])
    '.'
    """
    spelled = {one.lower(): one for one in known}
    nearest = get_close_matches(name.lower(), spelled, n=1, cutoff=0.4)
    return f"; did you mean {spelled[nearest[0]]}?" if nearest else "."
