"""When samples were taken: the rate of a time column, gaps, and evenly sampled parts of a channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam_backend.errors import BadRequestError

MAX_GAP = 3
"""Most missing samples in a row that are filled by default."""

_SHORT, _LONG = 0.5, 1.5
"""Steps between these shares of the median step are even enough for linear interpolation."""

_JITTER = 0.05
"""Share of a step by which a sample may be off an even grid and still is taken as on it."""

_RATE_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Part:
    """Evenly spaced samples without a gap.

    Attributes
    ----------
    start : float, seconds from the recording's beginning.
    values : float (N,), finite.
    """

    start: float
    values: NDArray[np.floating]


@dataclass(frozen=True)
class Repairs:
    """What was done to a channel.

    Attributes
    ----------
    filled : int, gaps that were filled, of `filled_samples` samples in all.
    splits : tuple of (start, length) in seconds, the gaps at which the channel was split.
    jitter : float, the largest distance of a sample from the even grid, as a share of a step.
    """

    filled: int = 0
    filled_samples: int = 0
    splits: tuple[tuple[float, float], ...] = ()
    jitter: float = 0.0

    def sentences(self, channel: str, max_gap: int) -> list[str]:
        """Say what was done, with numbers; nothing where nothing was."""
        said = []
        if self.filled:
            gaps, are = ("1 gap", "is") if self.filled == 1 else (f"{self.filled} gaps", "are")
            said.append(
                f"{channel}: {gaps} of at most {max_gap} samples {are} filled by linear interpolation, "
                f"{self.filled_samples} samples in all."
            )
        if count := len(self.splits):
            first = ", ".join(f"{length:.6g} s at {start:.6g} s" for start, length in self.splits[:3])
            gaps, split = ("1 longer gap", "splits") if count == 1 else (f"{count} longer gaps", "split")
            more = f" and {count - 3} more" if count > 3 else ""
            said.append(f"{channel}: {gaps} ({first}{more}) {split} it into {count + 1} parts.")
        if self.jitter > _JITTER:
            said.append(
                f"{channel}: samples are off an even grid by up to {self.jitter:.2g} of a step; it is resampled by "
                "linear interpolation."
            )
        return said


def rate_of_times(times: NDArray[np.float64], given: float | None, line: Callable[[int], int], column: str) -> float:
    """Return the sampling rate of a time column: the mean over all steps that are no gaps.

    Parameters
    ----------
    times : float64 (N,), seconds, N at least 2.
    given : float, the rate in Hz that the user said, to be checked; None if none was said.
    line : function, the line in the file of a row, from 0.
    column : str, its name for messages.

    Returns
    -------
    float
        Samples a second: the given rate where the times agree with it within one sample over the recording.

    Raises
    ------
    BadRequestError
        If time stands still or goes back, if a step is shorter than half the median step, or if the rate differs from
        the given one by more than 0.1 per cent and by more than one sample over the recording.
    """
    steps = np.diff(times)
    without = "give --fs with --no-time to take the rows as evenly spaced"
    if still := int(np.count_nonzero(steps == 0)):
        raise BadRequestError(
            f"The time column '{column}' is too coarse: {still} of {len(steps)} rows have the time of the row before, "
            f"the first in line {line(int(np.argmax(steps == 0)) + 1)}; {without}."
        )
    if (steps < 0).any():
        raise BadRequestError(
            f"The time column '{column}' goes back in line {line(int(np.argmax(steps < 0)) + 1)}; sort the rows."
        )
    median = float(np.median(steps))
    if short := int(np.count_nonzero(steps < _SHORT * median)):
        first = int(np.argmax(steps < _SHORT * median)) + 1
        raise BadRequestError(
            f"The time column '{column}' is not evenly spaced: {short} of {len(steps)} steps are shorter than half the "
            f"median of {median:.6g} s, the first in line {line(first)}; resample it, or {without}."
        )
    even = steps[steps <= _LONG * median]
    rate = len(even) / float(even.sum())
    if given is not None:
        off = abs(len(even) / given - float(even.sum()))
        if off <= 1 / given:
            return given
        if off > _RATE_TOLERANCE * len(even) / given:
            raise BadRequestError(
                f"--fs says {given:.6g} Hz, but the time column '{column}' {rate:.6g} Hz; leave --fs out, or {without}."
            )
    return rate


def even_parts(
    values: NDArray[np.floating], rate: float, times: NDArray[np.float64] | None, max_gap: int = MAX_GAP
) -> tuple[list[Part], Repairs]:
    """Return the evenly sampled parts of a channel, and what was done to it.

    A missing value is a missing sample. A step of more than 1.5 sampling intervals is a gap: up to `max_gap` samples
    are filled by linear interpolation, a longer gap splits the channel. Within a part, samples that are off the even
    grid by more than 0.05 of a step are resampled onto it by linear interpolation.

    Parameters
    ----------
    values : float (N,); NaN or infinite where missing.
    rate : float, samples a second.
    times : float64 (N,), seconds from the recording's beginning, increasing; None for samples at multiples of 1/rate.
    max_gap : int, at least 0.
    """
    present = np.flatnonzero(np.isfinite(values))
    if not len(present):
        return [], Repairs()
    if times is None and len(present) == len(values):
        return [Part(0.0, values)], Repairs()
    at = present / rate if times is None else times[present]
    kept = values[present]
    steps = np.diff(at) * rate
    # How many sampling intervals each step is.
    counts = np.where(steps > _LONG, np.rint(steps), 1).astype(np.int64)
    gaps = np.flatnonzero(counts > max_gap + 1)
    filled = counts[(counts > 1) & (counts <= max_gap + 1)] - 1
    parts, jitter = [], 0.0
    for first, stop in zip([0, *(gaps + 1)], [*(gaps + 1), len(kept)], strict=True):
        own = kept[first:stop]
        places = np.concatenate([[0], np.cumsum(counts[first : stop - 1])])
        count = int(places[-1])
        measured = (at[first:stop] - at[first]) * (count / max(at[stop - 1] - at[first], 1e-300))
        off = float(np.abs(measured - places).max())
        jitter = max(jitter, off)
        if off > _JITTER:
            own = np.interp(np.arange(count + 1), measured, own)
        elif count + 1 > len(own):
            own = np.interp(np.arange(count + 1), places, own)
        parts.append(Part(float(at[first]), own))
    splits = tuple((float(at[gap]), float(at[gap + 1] - at[gap])) for gap in gaps)
    return parts, Repairs(len(filled), int(filled.sum()), splits, jitter)
