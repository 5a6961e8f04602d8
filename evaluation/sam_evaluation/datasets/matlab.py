"""Segmentations in MATLAB files, in the format of the Berkeley data sets."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sam_evaluation.datasets.sample_files import max_pixels
from sam_evaluation.errors import BrokenSampleError

_BYTES_A_PIXEL = 8
_HEADER_BYTES = 128
_COMPRESSED = 15
"""The type of a compressed element of a MATLAB file of version 5."""


def read_segmentations(path: Path) -> list[NDArray[np.integer]]:
    """Return the label maps, integers (H, W), of a file.

    The variable `groundTruth` is a struct with the field `Segmentation`, or a cell array of such structs.

    Raises
    ------
    BrokenSampleError
        If the file is missing, cannot be read, unpacks to too much memory, or has no label map of whole numbers.
    """
    if not path.exists():
        raise BrokenSampleError(f"The ground truth {path} is missing.")
    most = _BYTES_A_PIXEL * max_pixels()
    if (claimed := _unpacked_bytes(path)) > most:
        raise BrokenSampleError(
            f"{path} unpacks to {claimed:,} bytes; at most {most:,} are read (SAM_INSPECT_MAX_IMAGE_PIXELS)."
        )
    from scipy.io import loadmat  # imported here, since it takes half a second

    try:
        with path.open("rb") as file:
            truth = loadmat(file, variable_names=["groundTruth"])["groundTruth"]  # type: ignore[arg-type]  # a file too
        structs = [truth] if truth.dtype.names else truth.ravel()
        label_maps = [_whole(labels) for struct in structs for labels in struct["Segmentation"].ravel()]
    except Exception as error:  # a damaged file can raise almost any exception
        raise BrokenSampleError(
            f"{path} was expected to hold groundTruth with the field Segmentation, but reading it failed "
            f"({type(error).__name__}: {error}); fetch the file again."
        ) from None
    if not label_maps or any(labels.ndim != 2 for labels in label_maps):
        raise BrokenSampleError(f"{path} holds no Segmentation of rows and columns in groundTruth.")
    return label_maps


def _whole(labels: object) -> NDArray[np.integer]:
    values = np.asarray(labels)
    if values.dtype.kind in "ui":
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if (
        values.dtype.kind != "f"
        or not (np.isfinite(values) & (values == np.rint(values)) & (abs(values) < 2**31)).all()
    ):
        raise ValueError("its labels are not whole numbers")
    return values.astype(np.int32)


def _unpacked_bytes(path: Path) -> int:
    """Return how many bytes the compressed elements of a file say that they unpack to; 0 for other files."""
    total = 0
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        order: Literal["little", "big"] = "little" if header[126:128] == b"IM" else "big"
        while len(tag := file.read(8)) == 8:
            kind, size = int.from_bytes(tag[:4], order), int.from_bytes(tag[4:], order)
            start = file.tell()
            if kind == _COMPRESSED:
                try:
                    inner = zlib.decompressobj().decompress(file.read(64), 8)
                except zlib.error:
                    break  # the reader says what is wrong
                total += int.from_bytes(inner[4:8], order)
            file.seek(start + size)
    return total
