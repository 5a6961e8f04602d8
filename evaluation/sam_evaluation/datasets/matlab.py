"""Segmentations in MATLAB files, in the format of the Berkeley data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam_evaluation.errors import BrokenSampleError


def read_segmentations(path: Path) -> list[NDArray[np.int64]]:
    """Return the label maps, int64 (H, W), of a file.

    The variable `groundTruth` is a struct with the field `Segmentation`, or a cell array of such structs.

    Raises
    ------
    BrokenSampleError
        If the file is missing, cannot be read, or has no label map.
    """
    if not path.exists():
        raise BrokenSampleError(f"The ground truth {path} is missing.")
    from scipy.io import loadmat  # imported here, since it takes half a second

    try:
        truth = loadmat(path, appendmat=False, variable_names=["groundTruth"])["groundTruth"]
        structs = [truth] if truth.dtype.names else truth.ravel()
        label_maps = [
            np.asarray(labels).astype(np.int64) for struct in structs for labels in struct["Segmentation"].ravel()
        ]
    except Exception as error:  # a damaged file can raise almost any exception
        raise BrokenSampleError(
            f"{path} was expected to hold groundTruth with the field Segmentation, but reading it failed "
            f"({type(error).__name__}: {error}); fetch the file again."
        ) from None
    if not label_maps or any(labels.ndim != 2 for labels in label_maps):
        raise BrokenSampleError(f"{path} holds no Segmentation of rows and columns in groundTruth.")
    return label_maps
