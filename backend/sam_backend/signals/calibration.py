"""Pixels of a picture of a spectrogram <-> time and frequency, exact in both directions."""

from __future__ import annotations

import json
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, Field, FiniteFloat, model_validator

from sam_backend.errors import BadRequestError
from sam_backend.validation import checked

KEY = "signal"
"""The field of a task's data, and of the PNG's text, that holds the calibration."""

_MOST_PIXELS = 1_000_000


class Calibration(BaseModel, frozen=True):
    """Where the data of a picture lie, and what they measure.

    Coordinates of the picture are continuous, as in `sam_backend.polygons`: pixel (row, column) is the square from
    (column, row) to (column + 1, row + 1).

    Attributes
    ----------
    file, channel : str, the recording and its channel.
    picture : str, the picture's file name.
    width, height : int, of the whole picture in pixels.
    x0, y0, x1, y1 : int, the data area in pixels of the picture, half-open; all around it are the drawn axes.
    t0 : float, seconds from the recording's beginning at the left edge x0.
    seconds_per_pixel : float.
    low, high : float, frequencies in Hz at the bottom edge y1 and at the top edge y0.
    log_frequency : bool, whether equal distances are equal ratios of frequencies, not equal differences.
    nyquist : float, half the sampling rate in Hz; intervals end there, while the last row's cell is half a bin higher.
    origin : str or float, the absolute time of the recording's beginning: ISO 8601, in UTC ("+00:00") where its time
        column says offsets, or seconds as in that column; None where it is unknown.
    level_low, level_high : float, the power density in dB of the darkest and the brightest colour.
    page, pages : int, which part of the channel this is, from 1, and of how many.
    """

    file: str
    channel: str
    picture: str
    width: int = Field(gt=0, le=_MOST_PIXELS)
    height: int = Field(gt=0, le=_MOST_PIXELS)
    x0: int = Field(ge=0)
    y0: int = Field(ge=0)
    x1: int
    y1: int
    t0: FiniteFloat
    seconds_per_pixel: FiniteFloat = Field(gt=0)
    low: FiniteFloat
    high: FiniteFloat
    log_frequency: bool = False
    nyquist: FiniteFloat = Field(gt=0)
    origin: str | FiniteFloat | None = None
    level_low: FiniteFloat
    level_high: FiniteFloat
    page: int = 1
    pages: int = 1

    @model_validator(mode="after")
    def _has_an_area(self) -> Self:
        if not (self.x0 < self.x1 <= self.width and self.y0 < self.y1 <= self.height and self.low < self.high):
            raise ValueError("the data area is empty or not inside the picture")
        if self.log_frequency and self.low <= 0:
            raise ValueError("a logarithmic axis begins above 0 Hz")
        return self

    def times(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return the seconds from the recording's beginning at coordinates x of the picture."""
        return self.t0 + (np.asarray(x, np.float64) - self.x0) * self.seconds_per_pixel

    def columns(self, seconds: ArrayLike) -> NDArray[np.float64]:
        """Return the coordinates x at seconds from the recording's beginning, the inverse of `times`."""
        return self.x0 + (np.asarray(seconds, np.float64) - self.t0) / self.seconds_per_pixel

    def frequencies(self, y: ArrayLike) -> NDArray[np.float64]:
        """Return the frequencies in Hz at coordinates y of the picture."""
        share = (self.y1 - np.asarray(y, np.float64)) / (self.y1 - self.y0)
        if self.log_frequency:
            return np.asarray(self.low * (self.high / self.low) ** share)
        return np.asarray(self.low + share * (self.high - self.low))

    def rows(self, hertz: ArrayLike) -> NDArray[np.float64]:
        """Return the coordinates y at frequencies in Hz, the inverse of `frequencies`."""
        frequency = np.asarray(hertz, np.float64)
        if self.log_frequency:
            share = np.log(frequency / self.low) / np.log(self.high / self.low)
        else:
            share = (frequency - self.low) / (self.high - self.low)
        return np.asarray(self.y1 - share * (self.y1 - self.y0))

    @property
    def hertz_per_pixel(self) -> float | None:
        """Hz of one row; None on a logarithmic axis, where rows differ."""
        return None if self.log_frequency else (self.high - self.low) / (self.y1 - self.y0)

    def as_data(self) -> dict[str, object]:
        """Return the fields of a task's data, with Hz per pixel for who reads them without this code."""
        return {**self.model_dump(), "hertz_per_pixel": self.hertz_per_pixel}

    @classmethod
    def of_data(cls, data: object, what: str) -> Self:
        """Read what `as_data` wrote, from a task or as JSON from a PNG; `what` begins the sentence of an error.

        Raises
        ------
        BadRequestError
            If it is no calibration.
        """
        if isinstance(data, str):
            try:
                data = json.loads(data)
            except ValueError:
                data = None
        return checked(cls, data, f"The calibration of {what}", BadRequestError, "render the signal again")
