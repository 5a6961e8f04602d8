"""The masks of a record, checked against its image before any pixel of them is decoded."""

from __future__ import annotations

from sam_backend.errors import BadRequestError
from sam_backend.memory.features import AcceptedMask
from sam_backend.memory.records import ReadMasks, Record
from sam_backend.segmenters import Embedding
from sam_backend.segmenters.views import view_of

_MAX_REASON = 200


def masks_on_image(record: Record, embedding: Embedding, read_masks: ReadMasks) -> list[AcceptedMask]:
    """Return the masks of a record, all of the size (H, W) of its embedding; empty ones too.

    Of a large image, of which the embedding shows a view, only what the view shows.

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
    return masks


def _require_size(drawn: tuple[object, ...], size: tuple[int, int]) -> None:
    if None not in drawn and drawn != size:
        wanted, came = (f"{width} x {height}" for height, width in (size, drawn))
        raise BadRequestError(f"It has a mask of {came} pixels, but the image has {wanted}; draw it again.")
