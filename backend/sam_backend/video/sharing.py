"""Which object has which outline, where several want the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sam_backend.samples import Cropped

SEEN = 0.5
"""Score from which an object counts as seen."""

SAME = 0.5
"""IoU from which two outlines are of the same thing, so that one object alone can have it."""


def share(scores: NDArray[np.float64], masks: Sequence[Cropped], quality: NDArray[np.float64]) -> list[int | None]:
    """Share outlines among objects so that the sum of their log-odds is largest.

    Parameters
    ----------
    scores : (K, N) of each object and outline, in 0..1.
    masks : N outlines; those of the same thing go to one object.
    quality : (N,), how good an outline is of whatever it is; of those of a thing that count as seen, the best is taken.

    Returns
    -------
    list
        For each object its outline; None where none has a score of `SEEN`, or all such go to others.
    """
    # Imported late, because it is slow and a service must listen before it.
    from scipy.optimize import linear_sum_assignment

    things: list[list[int]] = []
    for index in sorted(range(len(masks)), key=lambda index: -float(scores[:, index].max(initial=0))):
        same = next((thing for thing in things if masks[index].iou(masks[thing[0]]) > SAME), None)
        if same is None:
            things.append([index])
        else:
            same.append(index)
    chosen: list[int | None] = [None] * len(scores)
    if not things:
        return chosen
    best = np.clip(np.stack([scores[:, thing].max(1) for thing in things], 1), 1e-9, 1 - 1e-9)
    # To be seen nowhere is as good as a score of a half.
    gain = np.concatenate([np.log(best / (1 - best)), np.zeros((len(scores), len(scores)))], 1)
    for row, column in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
        if column < len(things) and best[row, column] >= SEEN:
            chosen[row] = max(things[column], key=lambda index: (scores[row, index] >= SEEN) * quality[index])
    return chosen
