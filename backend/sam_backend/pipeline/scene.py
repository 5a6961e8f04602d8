"""What a step of a pipeline gets and gives: the image with its model, and the boxes or masks proposed so far."""

from __future__ import annotations

from dataclasses import dataclass

from sam_backend.arrays import ImageArray
from sam_backend.memory.proposals import Proposer
from sam_backend.samples import Cropped
from sam_backend.segmenters import Embedding, Segmenter
from sam_backend.segmenters.pixels import reader_of


@dataclass(frozen=True, eq=False)
class Scene:
    """An image, or a tile of a large one, as the steps of a pipeline see it.

    Attributes
    ----------
    segmenter : Segmenter, the model that serves.
    embedding : Embedding, its encoding of the image.
    project : Proposer, what proposes for the project; None where nothing was accepted yet.
    """

    segmenter: Segmenter
    embedding: Embedding
    project: Proposer | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.embedding.size

    @property
    def image(self) -> ImageArray:
        """The image, uint8 RGB (H, W, 3), read-only, since the next step sees the same one."""
        image = reader_of(self.embedding).rgb().view()
        image.flags.writeable = False
        return image


@dataclass(frozen=True, eq=False)
class ProposedBox:
    """A proposed box.

    Attributes
    ----------
    box : xyxy in pixels of the image, half-open.
    label : str, its class; None without one.
    score : float in [0, 1].
    """

    box: tuple[float, float, float, float]
    label: str | None
    score: float


@dataclass(frozen=True, eq=False)
class ProposedMask:
    """A proposed mask.

    Attributes
    ----------
    mask : Cropped, in pixels of the image.
    label : str, its class; None without one.
    score : float in [0, 1].
    stability : float in [0, 1], see `segmenters.automatic.Proposal`; None where it was not measured.
    """

    mask: Cropped
    label: str | None
    score: float
    stability: float | None = None


Proposed = ProposedBox | ProposedMask
