"""A recording: its channels, when its samples were taken, and what was wrong in its file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Recording:
    """The channels of a file.

    Attributes
    ----------
    name : str, the file's name.
    channels : tuple of str, their names.
    values : float (N, C); NaN where a sample is missing.
    rate : float, samples a second.
    times : float64 (N,), seconds from the first sample; None where the samples are evenly spaced by definition.
    origin : str or float, the absolute time of the first sample, see `Calibration.origin`; None where it is unknown.
    notes : tuple of str, sentences about what was left out or repaired.
    """

    name: str
    channels: tuple[str, ...]
    values: NDArray[np.floating]
    rate: float
    times: NDArray[np.float64] | None = None
    origin: str | float | None = None
    notes: tuple[str, ...] = ()
