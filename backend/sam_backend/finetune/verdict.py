"""What decides whether tuned weights may serve. The gate itself needs an evaluation, so callers pass it in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sam_backend.progress import ProgressCallback
from sam_backend.samples import Sample

Judged = TypeVar("Judged", contravariant=True)
"""What a gate compares: a `Segmenter`, or a proposer."""


@dataclass(frozen=True)
class Verdict:
    """The decision of a gate.

    Attributes
    ----------
    passed : bool, whether the candidate may serve.
    reason : str, the reason in one or more sentences.
    metrics : dict, `protocol.metric` -> [mean of what serves, mean of the candidate] over the held-out objects.
    """

    passed: bool
    reason: str
    metrics: dict[str, list[float]]


class Gate(Protocol[Judged]):
    """Compares a candidate with what serves; `sam_evaluation.promotion_gate.PromotionGate` is one, of segmenters."""

    @property
    def fewest_images(self) -> int:
        """The number of held-out images that a verdict needs at least."""

    def __call__(
        self,
        serving: Judged,
        candidate: Judged,
        names: Sequence[str],
        load: Callable[[str], Sample],
        progress: ProgressCallback,
    ) -> Verdict:
        """Measure both on the held-out images and judge the candidate.

        Parameters
        ----------
        serving, candidate : what serves, and what would replace it.
        names : sequence of str, the held-out images.
        load : function that reads an image and its objects by name.
        progress : ProgressCallback, called with the images done, their number, and what is being measured.
        """
