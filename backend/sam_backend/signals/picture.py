"""A page of a spectrogram -> a PNG with axes, whose pixels keep their levels and whose text keeps the calibration."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngImageFile, PngInfo

from sam_backend.arrays import FloatArray
from sam_backend.errors import BadRequestError
from sam_backend.signals.calibration import KEY, Calibration

COLOURS = 224
"""Levels of the spectrogram, the first entries of the palette; the others are greys, for the axes."""

MOST_CELLS = 8192
"""Most rows or columns of a spectrogram in one picture."""

_LEFT, _TOP, _RIGHT, _BOTTOM = 72, 28, 24, 48
_SMALLEST = 512
_MOST_ZOOM = 8
_TICKS = 8
_FONT = 13


@dataclass(frozen=True)
class Axes:
    """Which frequencies are shown.

    Attributes
    ----------
    low, high : float, in Hz; None for all.
    log : bool, whether the axis is logarithmic.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False

    def rows(self, length: int, rate: float) -> tuple[int, int]:
        """Return the range of rows of `Transform.density` that are shown, half-open.

        Raises
        ------
        BadRequestError
            If there are fewer than two rows between the frequencies, or too many for a picture.
        """
        bins = np.arange(1, length // 2 + 1) * (rate / length)
        low, high = self.low or 0.0, math.inf if self.high is None else self.high
        inside = np.flatnonzero((bins >= low) & (bins <= high))
        if len(inside) < 2:
            raise BadRequestError(
                f"Between {low:g} and {min(high, rate / 2):g} Hz there are {len(inside)} rows, each of "
                f"{rate / length:g} Hz; choose other frequencies, or a longer window."
            )
        if len(inside) > MOST_CELLS:
            raise BadRequestError(
                f"A window of {length} samples has {len(inside)} rows, and at most {MOST_CELLS} fit into a picture; "
                "make --window-length smaller, or show fewer frequencies with --low and --high."
            )
        return int(inside[0]), int(inside[-1]) + 1


def zoom(cells: int) -> int:
    """Return how many pixels a cell gets, so that few cells still fill a picture."""
    return min(max(1, _SMALLEST // cells), _MOST_ZOOM)


def frame(columns: int, rows: int) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """Return the data area, xyxy in pixels, and the size (H, W) of the picture of so many pixels of data."""
    area = (_LEFT, _TOP, _LEFT + columns, _TOP + rows)
    return area, (_TOP + rows + _BOTTOM, _LEFT + columns + _RIGHT)


def levels_of(power: NDArray[np.float64], calibration: Calibration, edges: tuple[float, float]) -> NDArray[np.uint8]:
    """Return the levels of the data area.

    Parameters
    ----------
    power : float64 (rows, columns), the shown rows of `Transform.density`, the lowest frequency first.
    calibration : Calibration of the picture.
    edges : the frequencies in Hz at the outer edges of the lowest and of the highest row.

    Returns
    -------
    uint8 (h, w)
        0 to `COLOURS` - 1, the highest frequency first. On a logarithmic axis, a row has the mean of the power density
        between its edges.
    """
    height, width = calibration.y1 - calibration.y0, calibration.x1 - calibration.x0
    if calibration.log_frequency:
        bounds = np.linspace(*edges, len(power) + 1)
        wanted = calibration.frequencies(np.arange(calibration.y1, calibration.y0 - 1, -1))
        summed = np.vstack([np.zeros(power.shape[1]), np.cumsum(power, 0)]) * (bounds[1] - bounds[0])
        at = np.stack([np.interp(wanted, bounds, column) for column in summed.T], 1)
        power = np.diff(at, axis=0) / np.diff(wanted)[:, None]
    with np.errstate(divide="ignore"):
        level = 10 * np.log10(power)
    share = (level - calibration.level_low) / (calibration.level_high - calibration.level_low)
    shown = np.rint(share.clip(0, 1) * (COLOURS - 1)).astype(np.uint8)[::-1]
    return np.repeat(np.repeat(shown, height // len(shown), 0), width // shown.shape[1], 1)


def draw(levels: NDArray[np.uint8], calibration: Calibration, title: str) -> bytes:
    """Return the PNG of the levels of a data area, with axes, and with the calibration in its text."""
    c = calibration
    paper = Image.new("L", (c.width, c.height), 255)
    pen, font = ImageDraw.Draw(paper), ImageFont.load_default(_FONT)
    pen.text((c.x0, c.y0 // 2), title, 0, font, anchor="lm")
    pen.rectangle((c.x0 - 1, c.y0 - 1, c.x1, c.y1), outline=0)
    for second in _ticks(float(c.times(c.x0)), float(c.times(c.x1))):
        x = float(c.columns(second))
        pen.line((x, c.y1, x, c.y1 + 5), 0)
        pen.text((x, c.y1 + 8), f"{second:g}", 0, font, anchor="mt")
    pen.text(((c.x0 + c.x1) / 2, c.height - 4), "time [s]", 0, font, anchor="mb")
    unit, name = (1000, "kHz") if c.high >= 2000 else (1, "Hz")
    last = math.inf
    for hertz in _ticks_of_frequency(c):
        y = float(c.rows(hertz))
        pen.line((c.x0 - 6, y, c.x0 - 1, y), 0)
        # The lowest ticks of a logarithmic axis may be close to each other.
        if last - y >= _FONT + 2 or last == math.inf:
            pen.text((c.x0 - 9, y), f"{hertz / unit:g}", 0, font, anchor="rm")
            last = y
    pen.text((4, c.y0 // 2), f"f [{name}]", 0, font, anchor="lm")
    greys = 256 - COLOURS
    indices = (COLOURS + np.asarray(paper).astype(np.int64) * (greys - 1) // 255).astype(np.uint8)
    indices[c.y0 : c.y1, c.x0 : c.x1] = levels
    picture = Image.fromarray(indices)
    picture.putpalette(_palette().tobytes())
    text = PngInfo()
    text.add_itxt(KEY, json.dumps(calibration.as_data()))
    file = io.BytesIO()
    picture.save(file, "PNG", pnginfo=text)
    return file.getvalue()


def read_calibration(png: bytes, what: str) -> Calibration | None:
    """Return the calibration in a PNG's text; None where there is none. Errors as of `Calibration.of_data`."""
    picture = _open(png)
    text = picture.info.get(KEY) if picture else None
    return None if text is None else Calibration.of_data(str(text), what)


def read_levels(png: bytes, calibration: Calibration) -> FloatArray | None:
    """Return the power density in dB of the data area, float32 (h, w); None where a file is not that picture."""
    picture = _open(png)
    c = calibration
    if picture is None or picture.mode != "P" or picture.size != (c.width, c.height):
        return None
    try:
        levels = np.asarray(picture)[c.y0 : c.y1, c.x0 : c.x1].clip(0, COLOURS - 1)
    except (OSError, ValueError, SyntaxError):
        return None
    return (c.level_low + levels * ((c.level_high - c.level_low) / (COLOURS - 1))).astype(np.float32)


def _open(png: bytes) -> PngImageFile | None:
    try:
        picture = Image.open(io.BytesIO(png), formats=["PNG"])
    except (OSError, ValueError, SyntaxError):
        return None
    return picture if isinstance(picture, PngImageFile) else None


def _palette() -> NDArray[np.uint8]:
    """Return the colours, uint8 RGB (256, 3): viridis, then greys from black to white."""
    shares = np.rint(np.linspace(0, 255, COLOURS)).astype(np.uint8)
    viridis = cv2.applyColorMap(shares[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]
    greys = np.rint(np.linspace(0, 255, 256 - COLOURS)).astype(np.uint8)
    return np.ascontiguousarray(np.vstack([viridis, np.repeat(greys[:, None], 3, 1)]))


def _ticks(low: float, high: float) -> list[float]:
    """Return round values between two values, at most about `_TICKS`."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [round(index * step, 9) for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _ticks_of_frequency(calibration: Calibration) -> list[float]:
    low, high = max(calibration.low, 0.0), calibration.high
    if not calibration.log_frequency:
        return _ticks(low, high)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [tick for decade in decades for factor in (1, 2, 5) if low <= (tick := factor * 10.0**decade) <= high]
