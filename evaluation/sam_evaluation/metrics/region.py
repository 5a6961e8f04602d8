"""Overlap of two masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def iou(pred: NDArray[np.bool_], gt: NDArray[np.bool_]) -> float:
    """Return the intersection over union of two masks, from 0 to 1 (Jaccard index).

    Parameters
    ----------
    pred, gt : bool (H, W).

    Returns
    -------
    float
        1.0 where both masks are empty: nothing was to be found and nothing was.

    Raises
    ------
    ValueError
        If the masks differ in shape.

    Examples
    --------
    >>> import numpy as np
    >>> iou(np.array([[1, 1, 0]], bool), np.array([[0, 1, 1]], bool))
    0.3333333333333333
    """
    pred, gt = np.asarray(pred, bool), np.asarray(gt, bool)
    if pred.shape != gt.shape:
        raise ValueError(f"Masks to compare need one shape; got {pred.shape} and {gt.shape}.")
    union = int(np.count_nonzero(pred | gt))
    if union == 0:
        return 1.0
    return int(np.count_nonzero(pred & gt)) / union
