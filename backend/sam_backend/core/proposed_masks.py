"""What is proposed on an image, on a large one tile by tile: by the project's proposer, the model or a pipeline."""

from __future__ import annotations

import logging
from functools import partial

from sam_backend.core.large_images import LargeImage
from sam_backend.core.task_embeddings import TaskEmbedding
from sam_backend.memory.proposals import Proposer
from sam_backend.pipeline.scene import ProposedMask, Scene
from sam_backend.pipeline.sources import Everything, Propose, memory
from sam_backend.segmenters import Segmenter
from sam_backend.segmenters.seams import TILE, TileMask, across_seams, tiles

logger = logging.getLogger(__name__)

MAX_PROPOSALS = 20
"""Most proposals on an image, since an annotator must check every one; on a large one, as many as it has tiles."""

FOR_ANNOTATORS = Everything(points_per_side=12, mask_nms_thresh=0.3, limit=MAX_PROPOSALS)
"""A mask that is probably right is worth checking; of two masks that overlap much, an annotator wants one."""


def proposed_masks(
    segmenter: Segmenter,
    fetched: TaskEmbedding,
    proposer: Proposer | None,
    propose: Propose | None = None,
    tile: int = TILE,
) -> list[ProposedMask]:
    """Return the proposals on an image for annotators, the highest score first: at most `MAX_PROPOSALS`, or one a tile.

    Parameters
    ----------
    segmenter : Segmenter.
    fetched : TaskEmbedding, of the image.
    proposer : Proposer of the project; None without one.
    propose : function that proposes, such as a pipeline; None for what the proposer finds, or without a proposer for
        masks of whatever the model sees, without labels.
    tile : int, side in pixels of the tiles of a large image.

    Raises
    ------
    TimeoutError
        If the segmenter raises it before anything is proposed.
    """
    own = FOR_ANNOTATORS if proposer is None else partial(memory, limit=MAX_PROPOSALS)
    found = masks_on_image(segmenter, fetched, proposer, propose or own, tile)
    most = MAX_PROPOSALS if fetched.large is None else max(MAX_PROPOSALS, len(tiles(fetched.large.size, tile)))
    return found[:most]


def masks_on_image(
    segmenter: Segmenter, fetched: TaskEmbedding, proposer: Proposer | None, propose: Propose, tile: int = TILE
) -> list[ProposedMask]:
    """Return all masks that are proposed on an image, of a large one on its tiles, the highest score first.

    Parameters and errors are those of `proposed_masks`.
    """
    if fetched.large is None:
        return propose(Scene(segmenter, fetched.embedding, proposer))
    return _on_tiles(segmenter, fetched.large, proposer, propose, tile)


def _on_tiles(
    segmenter: Segmenter, image: LargeImage, proposer: Proposer | None, propose: Propose, tile: int
) -> list[ProposedMask]:
    views = tiles(image.size, tile)
    masks: list[TileMask] = []
    for done, view in enumerate(views):
        try:
            proposed = propose(Scene(segmenter, image.embedding(segmenter, view), proposer))
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
