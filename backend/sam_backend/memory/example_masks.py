"""The masks of a record, checked against its image before any pixel of them is decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from sam_backend.errors import BadRequestError
from sam_backend.masks import mask_box
from sam_backend.memory.features import AcceptedMask
from sam_backend.memory.records import ReadMasks, Record
from sam_backend.segmenters import Embedding, Prompt, Segmenter
from sam_backend.segmenters.batched import best_masks
from sam_backend.segmenters.views import view_of

_MAX_REASON = 200


def masks_on_image(
    record: Record, segmenter: Segmenter, embedding: Embedding, read_masks: ReadMasks
) -> list[AcceptedMask]:
    """Return the masks of a record, all of the size (H, W) of its embedding; empty ones too.

    Of a large image, of which the embedding shows a view, only what the view shows. What was drawn around an object
    becomes the mask that the model sees in its box; it stays where the model takes no boxes or sees nothing.

    Raises
    ------
    BadRequestError
        If a mask has another size, or the record cannot be read for whatever reason: what one annotation holds must not
        keep the others from being learnt.
    """
    view = view_of(embedding)
    size = embedding.size if view is None else view.image_size
    try:
        for region in record.regions:
            # Masks that claim to be huge take no memory.
            _require_size((region.get("original_height"), region.get("original_width")), size)
        masks = list(read_masks(record, view))
        for accepted in masks:
            _require_size(accepted.mask.shape, embedding.size)
    except BadRequestError:
        raise
    except Exception as error:
        reason = str(error)[:_MAX_REASON].rstrip(".") or type(error).__name__
        raise BadRequestError(f"Its regions cannot be read: {reason}; draw it again.") from error
    return list(_within_boxes(masks, segmenter, embedding))


def _within_boxes(masks: Sequence[AcceptedMask], segmenter: Segmenter, embedding: Embedding) -> Iterator[AcceptedMask]:
    """Yield masks in their order, those of the model for what was drawn around an object."""
    boxes = {place: mask_box(one.mask) for place, one in enumerate(masks) if one.is_around}
    prompts = [Prompt(box=np.array(box, np.float32)) for box in boxes.values() if box is not None]
    takes_boxes = bool(prompts) and "box" in segmenter.info.prompts
    answers = best_masks(segmenter, embedding, prompts) if takes_boxes else iter(())
    for place, one in enumerate(masks):
        seen = next(answers, None) if boxes.get(place) is not None else None
        yield replace(one, mask=seen[0].mask, is_around=False) if seen and seen[0].area else one


def _require_size(drawn: tuple[object, ...], size: tuple[int, int]) -> None:
    if None not in drawn and drawn != size:
        wanted, came = (f"{width} x {height}" for height, width in (size, drawn))
        raise BadRequestError(f"It has a mask of {came} pixels, but the image has {wanted}; draw it again.")
