"""A mask on a picture of a spectrogram -> an interval of time and frequency."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sam_backend.arrays import FloatArray
from sam_backend.samples import Cropped
from sam_backend.signals.calibration import Calibration

_UTC = "+00:00"


@dataclass(frozen=True)
class Interval:
    """What a mask says about the signal.

    Attributes
    ----------
    t_start, t_end : float, seconds from the recording's beginning.
    f_low, f_high : float, Hz, from 0 to half the sampling rate.
    peak_frequency : float, Hz, the middle of the row with the highest mean power density inside the mask; None where
        the picture is not at hand.
    cut : str, "start", "end" or "start end" where the mask reaches that edge of the page, so that what it marks may go
        on beyond; else "".
    """

    t_start: float
    t_end: float
    f_low: float
    f_high: float
    peak_frequency: float | None
    cut: str


def interval_of(mask: Cropped, calibration: Calibration, levels: FloatArray | None = None) -> Interval | None:
    """Return the interval of a mask's part in the data area; None where there is none.

    Parameters
    ----------
    mask : Cropped, in pixels of the picture.
    calibration : Calibration of the picture.
    levels : float32 (h, w), dB of the data area, see `picture.read_levels`; None where they are unknown.
    """
    c = calibration
    inside = mask.within((c.x0, c.y0, c.x1, c.y1))
    cropped = Cropped.of(inside)
    if not cropped.area:
        return None
    left, top, right, bottom = cropped.box
    t_start, t_end = c.times([c.x0 + left, c.x0 + right]).tolist()
    f_low, f_high = c.frequencies([c.y0 + bottom, c.y0 + top]).clip(0, c.nyquist).tolist()
    peak = None
    if levels is not None:
        power = np.where(inside, 10 ** (levels.astype(np.float64) / 10), 0)
        rows = power.sum(1) / np.maximum(inside.sum(1), 1)
        peak = float(c.frequencies(c.y0 + int(rows.argmax()) + 0.5).clip(0, c.nyquist))
    sides = {"start": left == 0, "end": right == c.x1 - c.x0}
    return Interval(t_start, t_end, f_low, f_high, peak, " ".join(name for name, reached in sides.items() if reached))


def absolute_time(calibration: Calibration, seconds: float) -> str | float | None:
    """Return the absolute time of seconds from the recording's beginning, in the terms of `Calibration.origin`."""
    if not isinstance(calibration.origin, str):
        return None if calibration.origin is None else calibration.origin + seconds
    # NumPy's times know no offset.
    begin = calibration.origin.removesuffix(_UTC)
    try:
        moment = np.datetime64(begin, "ns") + np.timedelta64(round(seconds * 1e9), "ns")
    except (ValueError, OverflowError):
        # Somebody edited the task.
        return None
    return f"{moment}{calibration.origin[len(begin) :]}"
