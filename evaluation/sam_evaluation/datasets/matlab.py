"""Segmentations in MATLAB files, as the Berkeley data sets keep them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam_evaluation.errors import BrokenSampleError


def read_segmentations(path: Path) -> list[NDArray[np.int64]]:
    """Return the label maps (H, W) in `groundTruth`, a struct with the field `Segmentation` or a cell array of them.

    Raises
    ------
    BrokenSampleError
        If the file is missing, cannot be read, or holds none.
    """
    if not path.exists():
        raise BrokenSampleError(f"The ground truth {path} is missing.")
    from scipy.io import loadmat  # here, since it takes half a second

    try:
        truth = loadmat(path, appendmat=False, variable_names=["groundTruth"])["groundTruth"]
        structs = [truth] if truth.dtype.names else truth.ravel()
        found = [np.asarray(labels).astype(np.int64) for struct in structs for labels in struct["Segmentation"].ravel()]
    except Exception as error:  # a broken file raises almost anything, by where it breaks
        raise BrokenSampleError(
            f"{path} was expected to hold groundTruth with the field Segmentation, but cannot be read so "
            f"({type(error).__name__}: {error})."
        ) from None
    if not found or any(labels.ndim != 2 for labels in found):
        raise BrokenSampleError(f"{path} holds no Segmentation of rows and columns in groundTruth.")
    return found
