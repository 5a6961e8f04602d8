"""Where an object is looked for in a frame: the prompts that the segmenter answers."""

from __future__ import annotations

import cv2
import numpy as np

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.segmenters import Prompt
from sam_backend.video.appearance import Cells
from sam_backend.video.motion import Motion

_REACH, _GROWTH = 4.0, 0.5
"""Radii of an object within which it is looked for, and by how many they grow with each frame in which it is hidden."""

_PULL = 0.1
"""What the response must be higher at the end of the reach than in its middle."""

_LEAST = 0.2
"""Share of an object's area that a stretch of cells which look like it must have."""

_LIKE = 0.5
"""Response from which a cell looks like the object."""


def places(motion: Motion, response: FloatArray, cells: Cells) -> list[Prompt]:
    """Return prompts: a box where the object is expected, boxes where its appearance answers most, its moved mask.

    Parameters
    ----------
    motion : Motion, where the object is expected.
    response : float32 (rows, columns), of its appearance in the frame.
    cells : Cells of the frame.
    """
    boxes = [motion.box(motion.expected)]
    reach = motion.radius * (_REACH + _GROWTH * motion.absent)
    rows, columns = np.indices(response.shape)
    middles = np.stack([columns + 0.5, rows + 0.5], 2) * cells.side
    away = np.linalg.norm(middles - motion.expected, axis=2)
    width, height = np.maximum(np.round(motion.sides / cells.side).astype(int), 1).tolist()
    smooth = cv2.blur(np.clip(response, -0.5, 1.5), (width, height), borderType=cv2.BORDER_CONSTANT)
    wanted = np.where(away <= reach, smooth - _PULL * away / reach, -np.inf)
    for _ in range(3 if motion.absent else 1):
        row, column = np.unravel_index(int(np.argmax(wanted)), wanted.shape)
        if not np.isfinite(wanted[row, column]):
            break
        boxes.append(motion.box(middles[row, column]))
        top, left = max(row - height // 2, 0), max(column - width // 2, 0)
        wanted[top : row + height // 2 + 1, left : column + width // 2 + 1] = -np.inf
    boxes += _stretches(motion, (response > _LIKE) & (away <= reach), cells)
    # One look at the whole frame: a second look at a part would encode it for each object.
    window = (0, 0, cells.size[1], cells.size[0])
    prompts = [Prompt(box=box, window=window) for box in boxes if box[2] > box[0] and box[3] > box[1]]
    moved = motion.moved()
    if not motion.absent and moved.area:
        prompts.append(Prompt(box=np.array(moved.box, np.float32), drawn=moved, window=window))
    return prompts


def _stretches(motion: Motion, like: BoolArray, cells: Cells) -> list[FloatArray]:
    """Return the boxes of connected cells that look like the object, the nearest to where it is expected first."""
    count, _, stats, centres = cv2.connectedComponentsWithStats(like.astype(np.uint8), connectivity=8)
    least = _LEAST * motion.area / cells.side**2
    large = [part for part in range(1, count) if stats[part, cv2.CC_STAT_AREA] >= least]
    large.sort(key=lambda part: float(np.linalg.norm((centres[part] + 0.5) * cells.side - motion.expected)))
    boxes = []
    for part in large[: 2 if motion.absent else 1]:
        left, top, width, height = stats[part, :4].tolist()
        boxes.append(np.array([left, top, left + width, top + height], np.float32) * np.float32(cells.side))
    return boxes
