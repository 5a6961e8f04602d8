"""What is proposed on an image: by the project's proposer or by the model alone, of a large image tile by tile."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sam_backend.core.large_images import LargeImage
from sam_backend.core.task_embeddings import TaskEmbedding
from sam_backend.memory.proposals import Proposer
from sam_backend.samples import Cropped
from sam_backend.segmenters import Embedding, Segmenter
from sam_backend.segmenters.automatic import propose_masks
from sam_backend.segmenters.seams import TILE, TileMask, across_seams, tiles

logger = logging.getLogger(__name__)

MAX_PROPOSALS = 20
"""Most proposals on an image, since an annotator must check every one; on a large one, as many as it has tiles."""


@dataclass(frozen=True, eq=False)
class ProposedMask:
    """A proposed mask.

    Attributes
    ----------
    mask : Cropped, in pixels of the image.
    label : str, its class; None without one.
    score : float in [0, 1].
    """

    mask: Cropped
    label: str | None
    score: float


def proposed_masks(
    segmenter: Segmenter, fetched: TaskEmbedding, proposer: Proposer | None, tile: int = TILE
) -> list[ProposedMask]:
    """Return the proposals on an image, the highest score first.

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
    if fetched.large is not None:
        return _on_tiles(segmenter, fetched.large, proposer, tile)
    return _on_whole(segmenter, fetched.embedding, proposer)


def _on_whole(segmenter: Segmenter, embedding: Embedding, proposer: Proposer | None) -> list[ProposedMask]:
    if proposer is not None:
        proposals = proposer.propose(segmenter, embedding, limit=MAX_PROPOSALS)
        return [ProposedMask(Cropped.of(one.mask), one.label, one.score) for one in proposals]
    # A mask that is probably right is worth checking; of two masks that overlap much, an annotator wants one.
    masks = propose_masks(
        segmenter,
        embedding,
        points_per_side=12,
        pred_iou_threshold=0.5,
        stability_threshold=0.4,
        nms_iou=0.3,
        limit=MAX_PROPOSALS,
    )
    return [ProposedMask(Cropped.of(one.mask), None, one.predicted_iou) for one in masks]


def _on_tiles(segmenter: Segmenter, image: LargeImage, proposer: Proposer | None, tile: int) -> list[ProposedMask]:
    views = tiles(image.size, tile)
    masks: list[TileMask] = []
    for done, view in enumerate(views):
        try:
            proposed = _on_whole(segmenter, image.embedding(segmenter, view), proposer)
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
            TileMask(view.placed(one.mask.mask), one.label, one.score, view, view.cuts(one.mask.mask))
            for one in proposed
        ]
    found = across_seams(masks)[: max(MAX_PROPOSALS, len(views))]
    return [ProposedMask(one.mask, one.label, one.score) for one in found]
