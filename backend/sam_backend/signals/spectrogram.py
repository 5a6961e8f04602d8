"""Short-time spectra: the settings of a short-time Fourier transform, and its columns, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sam_backend.errors import BadRequestError, brief
from sam_backend.signals.sampling import Part

_SECONDS = 0.04
_SHORTEST, _LONGEST = 256, 2048
_LEAST = 16

_DECIBELS = 0.1
_HISTOGRAM = (-400.0, 400.0)
_QUIET = 0.1
"""The share of the spectrogram that is darker than the range of the colours."""
_LEAST_RANGE = 20.0


@dataclass(frozen=True)
class Transform:
    """The settings of a short-time Fourier transform.

    Attributes
    ----------
    window : str, a window of `scipy.signal.get_window` without parameters, for example "hann".
    length : int, of the window in samples.
    overlap : float, share of a window that it has in common with the next one, 0 to below 1.
    """

    window: str
    length: int
    overlap: float

    @classmethod
    def of(cls, rate: float, samples: int, window: str, length: int | None, overlap: float) -> Self:
        """Check settings for the longest part of a recording, of so many samples; choose the length where it is None.

        By default a window is the power of two next to 40 ms, from 256 to 2048 samples, but at most a quarter of the
        samples.

        Raises
        ------
        BadRequestError
            If the window is unknown, longer than the recording or too short, or the overlap not from 0 to below 1.
        """
        from scipy.signal import get_window

        if not 0 <= overlap < 1:
            raise BadRequestError(f"--overlap is the share of a window, from 0 to below 1; got {overlap:g}.")
        if length is None:
            wanted = 2 ** round(np.log2(_SECONDS * rate)) if _SECONDS * rate > 1 else 1
            length = int(np.clip(wanted, _SHORTEST, _LONGEST))
            while length > _LEAST and length > samples // 4:
                length //= 2
        if length < _LEAST:
            raise BadRequestError(f"--window-length is at least {_LEAST} samples; got {length}.")
        if length > samples:
            raise BadRequestError(
                f"The longest part of the recording has {samples} samples, fewer than a window of {length}; give a "
                "shorter --window-length."
            )
        try:
            get_window(window, length)
        except (ValueError, TypeError):
            raise BadRequestError(
                f"scipy.signal.get_window has no window {brief(window)} without parameters; take hann, hamming, "
                "blackman, flattop or boxcar."
            ) from None
        return cls(window, length, overlap)

    @property
    def hop(self) -> int:
        """Samples from the beginning of a window to that of the next one."""
        return max(1, round(self.length * (1 - self.overlap)))

    def columns(self, samples: int) -> int:
        """Return how many whole windows fit into so many samples."""
        return max(0, (samples - self.length) // self.hop + 1)

    def density(self, values: NDArray[np.floating], rate: float, first: int, stop: int) -> NDArray[np.float64]:
        """Return the power spectral density of some windows, one-sided, the mean of each window taken away.

        Parameters
        ----------
        values : float (N,), finite.
        rate : float, samples a second.
        first, stop : the numbers of the windows; number i begins at sample i * hop.

        Returns
        -------
        float64 (length // 2, stop - first)
            In unit² / Hz, of the frequencies (1, 2, …) * rate / length; 0 Hz is left out.
        """
        from scipy.signal import spectrogram

        own = np.asarray(values[first * self.hop : (stop - 1) * self.hop + self.length], np.float64)
        power = spectrogram(own, rate, self.window, self.length, self.length - self.hop, detrend="constant")[2]
        return np.asarray(power[1:], np.float64)


@dataclass(frozen=True)
class Page:
    """Some columns of the spectrogram of one part; `first` and `stop` are numbers of windows."""

    part: int
    first: int
    stop: int


def pages(transform: Transform, parts: Sequence[Part], most: int, shared: int) -> list[Page]:
    """Split the parts into pages of at most `most` columns, of about the same length, that share `shared` columns.

    Parts shorter than a window have none.
    """
    result = []
    for number, part in enumerate(parts):
        total = transform.columns(len(part.values))
        if not total:
            continue
        count = 1 if total <= most else -(-(total - shared) // (most - shared))
        step = (total - shared) / count
        edges = [round(step * index) for index in range(count + 1)]
        result += [Page(number, low, high + shared) for low, high in pairwise(edges)]
    return result


def densities(
    transform: Transform, parts: Sequence[Part], rate: float, chosen: Sequence[Page]
) -> Iterator[NDArray[np.float64]]:
    """Yield the power spectral density of each page, see `Transform.density`."""
    for page in chosen:
        yield transform.density(parts[page.part].values, rate, page.first, page.stop)


def level_range(powers: Iterator[NDArray[np.float64]]) -> tuple[float, float] | None:
    """Return the range of the colours in dB: from what a tenth of the powers is below to the highest one.

    It spans at least 20 dB. None where all powers are 0.
    """
    counts = np.zeros(round((_HISTOGRAM[1] - _HISTOGRAM[0]) / _DECIBELS), np.int64)
    highest = -np.inf
    for power in powers:
        level = 10 * np.log10(power[power > 0])
        counts += np.histogram(level.clip(*_HISTOGRAM), len(counts), _HISTOGRAM)[0]
        highest = max(highest, float(level.max(initial=-np.inf)))
    if not counts.any():
        return None
    quiet = _HISTOGRAM[0] + _DECIBELS * int(np.searchsorted(np.cumsum(counts), _QUIET * counts.sum()))
    high = float(np.ceil(highest))
    return min(float(np.floor(quiet)), high - _LEAST_RANGE), high
