"""What proposes masks in the images of a project: one interface for the memory and for a trained net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sam_backend.arrays import BoolArray
from sam_backend.segmenters import Embedding, Segmenter

_DELETING = 2
"""Actions in Label Studio that a false proposal costs: it is selected and deleted."""

_SAVED = 4
"""Actions that a right proposal saves on average: a label and a click always, all corrections if it is accepted."""

MIN_SCORE = _DELETING / (_DELETING + _SAVED)
"""The score from which a proposal is shown: from there on, it saves at least what it costs on average."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """A proposed mask.

    Attributes
    ----------
    mask : bool (H, W), in pixels of the image.
    label : str, its class.
    score : probability that its IoU with a mask that the annotator would accept is at least a half, in [0, 1].
    """

    mask: BoolArray
    label: str
    score: float


class Proposer(Protocol):
    """Proposes masks in images of one project; safe to share between threads."""

    @property
    def name(self) -> str:
        """What it is called in reports, for example "memory"."""

    def propose(self, segmenter: Segmenter, embedding: Embedding, *, limit: int | None = None) -> list[Proposal]:
        """Return the proposals for an image, the highest score first; at most `limit`.

        Parameters
        ----------
        segmenter : Segmenter that made the embedding.
        embedding : Embedding of the image.
        limit : largest number of proposals; None for all.
        """
