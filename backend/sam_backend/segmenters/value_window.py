"""Values of more than 8 bits -> 8 bits: a linear window between percentiles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (0.5, 99.5)
"""Percentiles of the values of a deep image that become 0 and 255."""

_SAMPLES = 2_000_000


@dataclass(frozen=True)
class ValueWindow:
    """The values that become 0 and 255; those between are mapped linearly, those beyond saturate.

    What is no number becomes 0.
    """

    low: float
    high: float

    @classmethod
    def of_values(cls, values: NDArray[Any]) -> Self:
        """Return the window of an image's values: its `PERCENTILES`; of a large image, those of a regular sample.

        If they are equal, it goes from the least to the largest value.

        Raises
        ------
        ValueError
            If none of the values is a finite number.
        """
        flat = values.reshape(-1)
        sample = flat[:: max(1, flat.size // _SAMPLES)]
        if values.dtype.kind == "f":
            sample = sample[np.isfinite(sample)]
        if not sample.size:
            raise ValueError("none of its values is a finite number")
        # Two neighbours of the sorted values are interpolated, of unsigned ones without wrapping around.
        low, high = (float(value) for value in np.percentile(sample, PERCENTILES))
        # Nearly all values are alike where a dark field shows few defects.
        return cls(low, high) if low < high else cls(float(sample.min()), float(sample.max()))

    def map(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Return uint16, int32 or float32 values as uint8, of the same shape."""
        if values.dtype.kind == "u" and values.dtype.itemsize == 2:
            grey: NDArray[np.uint8] = self._table[values]
            return grey
        # Whole numbers of 32 bits do not fit into the 24 bits of a float32.
        kind = np.float32 if values.dtype.kind == "f" else np.float64
        return self._mapped(values.astype(kind))

    def in_words(self, kind: np.dtype[Any]) -> str:
        """Return the mapping of values of a kind, for example "16-bit values, 112 to 4031 as 0 to 255"."""
        name = "float" if kind.kind == "f" else f"{8 * kind.itemsize}-bit"
        black = ", no number as 0" if kind.kind == "f" else ""
        return f"{name} values, {self.low:.6g} to {self.high:.6g} as 0 to 255{black}"

    @cached_property
    def _table(self) -> NDArray[np.uint8]:
        return self._mapped(np.arange(1 << 16, dtype=np.float64))

    def _mapped(self, numbers: NDArray[Any]) -> NDArray[np.uint8]:
        """Return values as uint8; they are changed in place."""
        if numbers.dtype == np.float32:
            np.nan_to_num(numbers, copy=False, nan=self.low, posinf=self.high, neginf=self.low)
        np.clip(numbers, self.low, self.high, out=numbers)
        numbers -= numbers.dtype.type(self.low)
        numbers *= numbers.dtype.type(255 / max(self.high - self.low, 1e-12))
        np.rint(numbers, out=numbers)
        return numbers.astype(np.uint8)
