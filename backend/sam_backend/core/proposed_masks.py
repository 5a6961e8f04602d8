"""What is proposed on an image: by the project's proposer or by the model alone, of a large image tile by tile."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sam_backend.core.large_images import LargeImage
from sam_backend.core.task_embeddings import TaskEmbedding
from sam_backend.memory.proposals import Proposer
from sam_backend.samples import Cropped
from sam_backend.segmenters import Embedding, Segmenter
from sam_backend.segmenters.automatic import AutomaticSettings, propose_masks
from sam_backend.segmenters.seams import TILE, TileMask, across_seams, tiles

logger = logging.getLogger(__name__)

MAX_PROPOSALS = 20
"""Most proposals on an image, since an annotator must check every one; on a large one, as many as it has tiles."""

FOR_ANNOTATORS = AutomaticSettings(points_per_side=12, mask_nms_thresh=0.3)
"""A mask that is probably right is worth checking; of two masks that overlap much, an annotator wants one."""


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


Propose = Callable[[Segmenter, Embedding], list[ProposedMask]]
"""Proposes masks in an image, or in a part of a large one, that is seen at once."""


def proposed_masks(
    segmenter: Segmenter, fetched: TaskEmbedding, proposer: Proposer | None, tile: int = TILE
) -> list[ProposedMask]:
    """Return the proposals on an image for annotators, the highest score first: at most `MAX_PROPOSALS`, or one a tile.

    Parameters
    ----------
    segmenter : Segmenter.
    fetched : TaskEmbedding, of the image.
    proposer : Proposer of the project; None for masks of whatever the model sees, without labels.
    tile : int, side in pixels of the tiles of a large image.

    Raises
    ------
    TimeoutError
        If the segmenter raises it before anything is proposed.
    """
    propose = partial(everything, FOR_ANNOTATORS, MAX_PROPOSALS) if proposer is None else partial(_of, proposer)
    found = masks_on_image(segmenter, fetched, propose, tile)
    most = MAX_PROPOSALS if fetched.large is None else max(MAX_PROPOSALS, len(tiles(fetched.large.size, tile)))
    return found[:most]


def everything(
    settings: AutomaticSettings, limit: int | None, segmenter: Segmenter, embedding: Embedding
) -> list[ProposedMask]:
    """Return masks of whatever the model sees, without labels, see `propose_masks`."""
    found = propose_masks(segmenter, embedding, settings, limit=limit)
    return [ProposedMask(one.cropped, None, one.predicted_iou, one.stability) for one in found]


def _of(proposer: Proposer, segmenter: Segmenter, embedding: Embedding) -> list[ProposedMask]:
    proposals = proposer.propose(segmenter, embedding, limit=MAX_PROPOSALS)
    return [ProposedMask(Cropped.of(one.mask), one.label, one.score) for one in proposals]


def masks_on_image(
    segmenter: Segmenter, fetched: TaskEmbedding, propose: Propose, tile: int = TILE
) -> list[ProposedMask]:
    """Return all masks that are proposed on an image, of a large one on its tiles, the highest score first.

    Parameters and errors are those of `proposed_masks`.
    """
    if fetched.large is None:
        return propose(segmenter, fetched.embedding)
    return _on_tiles(segmenter, fetched.large, propose, tile)


def _on_tiles(segmenter: Segmenter, image: LargeImage, propose: Propose, tile: int) -> list[ProposedMask]:
    views = tiles(image.size, tile)
    masks: list[TileMask] = []
    for done, view in enumerate(views):
        try:
            proposed = propose(segmenter, image.embedding(segmenter, view))
        except TimeoutError:
            if not done:
                raise
            logger.warning(
                "Only %d of the %d parts of an image of %d x %d pixels were reached in time; the others have no "
                "regions. Retrieve predictions again.",
                done,
                len(views),
                *reversed(image.size),
            )
            break
        masks += [
            TileMask(view.placed(one.mask.mask), one.label, one.score, view, view.cuts(one.mask.mask), one.stability)
            for one in proposed
        ]
    return [ProposedMask(one.mask, one.label, one.score, one.stability) for one in across_seams(masks)]
