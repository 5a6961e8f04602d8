"""Bounds on measured numbers, such as `>= 0.8`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam_evaluation.errors import EvaluationError

_HOLDS: dict[str, Callable[[Any, float], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_BOUND = re.compile(r"\s*(>=|<=|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


@dataclass(frozen=True)
class Bound:
    """A bound such as `>= 0.8`.

    Attributes
    ----------
    comparator : ">=", "<=", ">" or "<".
    number : float, the number to compare with.
    """

    comparator: str
    number: float

    @classmethod
    def parse(cls, text: str, subject: str, *, share: bool = False) -> Bound:
        """Read a comparator and a number.

        Parameters
        ----------
        text : str, for example ">= 0.8".
        subject : str, the name of the bounded number, for the error message.
        share : bool, whether the bounded number lies between 0 and 1.

        Raises
        ------
        EvaluationError
            If the text is not a bound, or the bound of a share is not between 0 and 1.
        """
        match = _BOUND.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise EvaluationError(f'{subject} takes >=, <=, > or < and a number, such as ">= 0.8"; got {text!r}.')
        bound = cls(match[1], float(match[2]))
        if share and not 0 <= bound.number <= 1:
            raise EvaluationError(f"{subject} is a share from 0 to 1; got {bound}. Write 80 % as 0.8.")
        return bound

    def __str__(self) -> str:
        return f"{self.comparator} {self.number:g}"

    def holds(self, measured: ArrayLike) -> NDArray[np.bool_]:
        """Return for each measured number whether it meets the bound, as bool of the same shape; NaN does not."""
        # The last digits of a sum of floats must not decide whether it meets a bound.
        result: NDArray[np.bool_] = np.asarray(
            _HOLDS[self.comparator](np.round(np.asarray(measured, np.float64), 9), self.number)
        )
        return result
