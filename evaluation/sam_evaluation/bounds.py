"""A number, and on which side of it a measured one must lie."""

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
    """What must hold, such as `>= 0.8`.

    Attributes
    ----------
    comparator : ">=", "<=", ">" or "<".
    number : to compare with.
    """

    comparator: str
    number: float

    @classmethod
    def parse(cls, text: str, of: str, *, share: bool = False) -> Bound:
        """Read a comparator and a number.

        Parameters
        ----------
        text : such as ">= 0.8".
        of : what is bound, for the error.
        share : whether that lies from 0 to 1.

        Raises
        ------
        EvaluationError
            If it is something else, or a share is bound by a number that no share is.
        """
        found = _BOUND.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise EvaluationError(f'{of} takes >=, <=, > or < and a number, such as ">= 0.8"; got {text!r}.')
        bound = cls(found[1], float(found[2]))
        if share and not 0 <= bound.number <= 1:
            raise EvaluationError(f"{of} is a share from 0 to 1; got {bound}. Write 80 % as 0.8.")
        return bound

    def __str__(self) -> str:
        return f"{self.comparator} {self.number:g}"

    def holds(self, measured: ArrayLike) -> NDArray[np.bool_]:
        """Tell for each number whether it lies on the right side; NaN does not."""
        # Sums of floats miss a bound that they meet on paper by their last digits.
        found: NDArray[np.bool_] = np.asarray(
            _HOLDS[self.comparator](np.round(np.asarray(measured, np.float64), 9), self.number)
        )
        return found
