"""A large image as overlapping tiles, and the masks of all tiles as those of one image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sam_backend.samples import Cropped
from sam_backend.segmenters.views import View

TILE = 1024
"""Side in pixels of a tile."""

_OVERLAP = 8
"""The part of a tile's side that it shares with the next tile is one eighth."""

_SAME = 0.5
"""Share of the smaller of two masks from which on they are of one object."""


@dataclass(frozen=True, eq=False)
class TileMask:
    """A mask that was found in a tile.

    Attributes
    ----------
    mask : Cropped, in the image, not empty.
    label : str, its class; None without one.
    score : float in [0, 1].
    view : View, the tile.
    is_cut : bool, whether it reaches an edge of the tile beyond which the image goes on.
    stability : float in [0, 1], see `automatic.Proposal`; None where it was not measured.
    """

    mask: Cropped
    label: str | None
    score: float
    view: View
    is_cut: bool
    stability: float | None = None


def tiles(size: tuple[int, int], side: int = TILE) -> list[View]:
    """Return tiles of a side in pixels that cover an image of `size` (H, W), row by row.

    Examples
    --------
    >>> [view.window for view in tiles((80, 250), side=80)]
    [(0, 0, 80, 80), (70, 0, 150, 80), (140, 0, 220, 80), (170, 0, 250, 80)]
    """
    tops, lefts = (_starts(length, side) for length in size)
    return [
        View((left, top, min(left + side, size[1]), min(top + side, size[0])), size) for top in tops for left in lefts
    ]


def across_seams(masks: Sequence[TileMask]) -> list[TileMask]:
    """Return the masks of an image, the highest score first: one of each object.

    Pieces of one label that edges of tiles cut are joined where they share half of what the smaller one has in the
    pixels that both tiles show. Of two masks of one label from different tiles that then share half of the smaller one,
    one remains: one that no edge cut, and of equals the one with the higher score.

    Parameters
    ----------
    masks : TileMask, of all tiles.
    """
    kept: list[TileMask] = []
    whole = [one for one in masks if not one.is_cut]
    for one in sorted(
        [*whole, *_joined([one for one in masks if one.is_cut])], key=lambda one: (one.is_cut, -one.score)
    ):
        rivals = (kept[index] for index in _near([other.mask for other in kept], one.mask))
        if not any(
            rival.label == one.label
            and rival.view != one.view
            and rival.mask.shared(one.mask) >= _SAME * min(rival.mask.area, one.mask.area)
            for rival in rivals
        ):
            kept.append(one)
    return sorted(kept, key=lambda one: -one.score)


def _joined(pieces: Sequence[TileMask]) -> Iterator[TileMask]:
    """Yield the unions of pieces that belong together, with the score and the stability of the surest one."""
    groups = list(range(len(pieces)))
    for index, piece in enumerate(pieces):
        for other in _near([one.mask for one in pieces[:index]], piece.mask):
            if groups[other] != groups[index] and _belong_together(pieces[other], piece):
                groups = [groups[index] if group == groups[other] else group for group in groups]
    for group in dict.fromkeys(groups):
        members = [piece for piece, own in zip(pieces, groups, strict=True) if own == group]
        best = max(members, key=lambda one: one.score)
        union = best.mask
        for member in members:
            union = union.joined(member.mask)
        yield replace(best, mask=union)


def _belong_together(one: TileMask, other: TileMask) -> bool:
    if one.label != other.label or one.view == other.view:
        return False
    low = np.maximum(one.view.window[:2], other.view.window[:2])
    high = np.minimum(one.view.window[2:], other.view.window[2:])
    if (high <= low).any():
        return False
    both = View((int(low[0]), int(low[1]), int(high[0]), int(high[1])), one.view.image_size)
    seen, others = both.seen(one.mask), both.seen(other.mask)
    smaller = min(np.count_nonzero(seen), np.count_nonzero(others))
    return bool(smaller and np.count_nonzero(seen & others) >= _SAME * smaller)


def _near(masks: Sequence[Cropped], mask: Cropped) -> list[int]:
    """Return the indices of the masks whose boxes overlap that of `mask`."""
    if not masks:
        return []
    low = np.array([one.corner for one in masks])
    high = low + [one.part.shape for one in masks]
    own_low, own_high = np.array(mask.corner), np.add(mask.corner, mask.part.shape)
    near: list[int] = np.flatnonzero(((low < own_high) & (own_low < high)).all(1)).tolist()
    return near


def _starts(length: int, side: int) -> list[int]:
    if length <= side:
        return [0]
    return [*range(0, length - side, side - side // _OVERLAP), length - side]
