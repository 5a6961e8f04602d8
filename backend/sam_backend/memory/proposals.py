"""What the memory finds in an image: places like its classes, outlined by the segmenter, each with a score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.memory.features import place_features
from sam_backend.memory.similarity import ClassModel
from sam_backend.segmenters import Embedding, Prompt, Segmenter

GRID = 256
"""Cells of the longer side of the grid that places are found and outlined on, as SAM's logits."""

_BLUR = 2.5
_LEAST_CELLS = 24
_REACH = 9
"""Cells beyond a place that its outline may reach."""

_TRUST = 0.5
"""Weight of the segmenter's logits beside the log-odds of the memory."""

_MOST_PLACES = 40
_SAME = 0.5
"""Overlap, as a share of the smaller one, from which two outlines of one label are the same thing."""


@dataclass(frozen=True, eq=False)
class Outline:
    """A place that is like a class, outlined.

    Attributes
    ----------
    label : the class.
    logits : (GRID, GRID) float32, above 0 inside.
    evidence : (5,) float32, what speaks for it; see `EVIDENCE`.
    """

    label: str
    logits: FloatArray
    evidence: FloatArray

    @property
    def part(self) -> BoolArray:
        """The outline's cells (GRID, GRID)."""
        inside: BoolArray = self.logits > 0
        return inside

    def mask(self, size: tuple[int, int]) -> BoolArray:
        """Return the mask (H, W) in an image of `size`."""
        full = _at_full_size(self.logits, size)
        return full > 0


EVIDENCE = (
    "log-odds of the segmenter's predicted IoU",
    "mean log-odds of the class inside",
    "mean log-odds inside less those around",
    "IoU of the segmenter's own mask with the outline",
    "logarithm of the outline's cells",
)
"""What `Outline.evidence` holds, in order."""


def class_map(segmenter: Segmenter, embedding: Embedding, model: ClassModel) -> tuple[FloatArray, tuple[int, int]]:
    """Return the probabilities (GRID, GRID, 1 + K) of background and classes, and how many rows and columns count."""
    features = place_features(segmenter, embedding)
    fine = cv2.resize(model.probabilities(features.values), (GRID, GRID), interpolation=cv2.INTER_LINEAR)
    smooth = cv2.GaussianBlur(fine, (0, 0), _BLUR)
    rows, columns = (min(GRID, round(side * GRID / max(embedding.size))) for side in embedding.size)
    return smooth, (max(rows, 1), max(columns, 1))


def find(segmenter: Segmenter, embedding: Embedding, model: ClassModel) -> list[Outline]:
    """Outline the places where a class of the memory is likelier than all others and than the background.

    A connected place becomes a box; the segmenter answers it; and the outline is where the segmenter's logits and the
    log-odds of the class together say "object", each correcting the other: the segmenter knows edges, the memory knows
    what is meant. One look at the whole image, whatever the segmenter's focus.
    """
    shares, shown = class_map(segmenter, embedding, model)
    odds = _log_odds(shares)
    winner = shares.argmax(2)
    winner[shown[0] :] = 0
    winner[:, shown[1] :] = 0
    places = [place for index in range(1, shares.shape[2]) for place in _places(winner == index, index, odds)]
    places = sorted(places, key=lambda place: -place.worth)[:_MOST_PLACES]
    if not places:
        return []
    height, width = embedding.size
    scale = max(height, width) / GRID
    prompts = [
        Prompt(box=np.minimum(place.box * scale, (width, height, width, height)), window=(0, 0, width, height))
        for place in places
    ]
    found = []
    for place, answer in zip(places, segmenter.decode(embedding, prompts, multimask=False), strict=True):
        seen = answer.logits[answer.best]
        if seen.shape != (GRID, GRID):
            seen = cv2.resize(seen, (GRID, GRID), interpolation=cv2.INTER_LINEAR)
        outline = _outlined(place, seen, float(answer.predicted_iou[answer.best]), odds[..., place.index], shown)
        if outline is not None:
            found.append(Outline(model.labels[place.index - 1], *outline))
    return found


def without_duplicates(outlines: Sequence[Outline], scores: Sequence[float]) -> list[int]:
    """Return the indices of the outlines to keep, the highest score first; of those of one thing the highest remains.

    Outlines of one label are of one thing where they share half of the smaller one, those of two labels where their
    IoU is a half.
    """
    kept: list[int] = []
    for index in sorted(range(len(outlines)), key=lambda each: -scores[each]):
        part = outlines[index].part
        for rival in kept:
            other = outlines[rival].part
            shared, areas = int((part & other).sum()), (int(part.sum()), int(other.sum()))
            same_label = outlines[rival].label == outlines[index].label
            base = min(areas) if same_label else sum(areas) - shared
            if shared >= _SAME * base:
                break
        else:
            kept.append(index)
    return kept


@dataclass(frozen=True, eq=False)
class _Place:
    """A connected place of a class: its cells, its box xyxy in cells, and how much speaks for it."""

    index: int
    cells: BoolArray
    box: FloatArray
    worth: float


def _places(likeliest: BoolArray, index: int, odds: FloatArray) -> list[_Place]:
    count, parts, stats, _ = cv2.connectedComponentsWithStats(likeliest.astype(np.uint8), connectivity=8)
    places = []
    for number in range(1, count):
        left, top, width, height, area = stats[number].tolist()
        if area >= _LEAST_CELLS:
            cells = parts == number
            box = np.array([left, top, left + width, top + height], np.float32)
            places.append(_Place(index, cells, box, float(np.maximum(odds[..., index][cells], 0).sum())))
    return places


def _outlined(
    place: _Place, seen: FloatArray, predicted_iou: float, odds: FloatArray, shown: tuple[int, int]
) -> tuple[FloatArray, FloatArray] | None:
    """Return an outline's logits and evidence, or None where nothing is left of it."""
    reach = cv2.dilate(place.cells.astype(np.uint8), np.ones((2 * _REACH + 1,) * 2, np.uint8)) > 0
    reach[shown[0] :] = False
    reach[:, shown[1] :] = False
    logits = np.where(reach, _TRUST * seen + odds, -10.0).astype(np.float32)
    inside = logits > 0
    if inside.sum() < _LEAST_CELLS:
        return None
    around = cv2.dilate(inside.astype(np.uint8), np.ones((2 * _REACH + 1,) * 2, np.uint8)) > 0
    around[shown[0] :] = False
    around[:, shown[1] :] = False
    around &= ~inside
    within = float(odds[inside].mean())
    beyond = float(odds[around].mean()) if around.any() else within
    own = (seen > 0) & reach
    agreed = float((own & inside).sum() / max((own | inside).sum(), 1))
    certainty = float(np.clip(predicted_iou, 0.01, 0.99))
    evidence = [np.log(certainty / (1 - certainty)), within, within - beyond, agreed, np.log(inside.sum())]
    return logits, np.array(evidence, np.float32)


def _log_odds(shares: FloatArray) -> FloatArray:
    clipped = np.clip(shares, 1e-3, 1 - 1e-3)
    odds: FloatArray = np.log(clipped / (1 - clipped))
    return odds


def _at_full_size(logits: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Resize logits (GRID, GRID), padded at the right or the bottom, to an image of `size` (H, W)."""
    shrunk = GRID / max(size)
    # Centres of pixels lie half a pixel in.
    inverse = np.array([[shrunk, 0, shrunk / 2 - 0.5], [0, shrunk, shrunk / 2 - 0.5]])
    full: NDArray[np.float32] = cv2.warpAffine(
        logits, inverse, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    return full
