"""Image and mask files of a data set, read with errors that name the file."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_backend.errors import SamInspectError
from sam_backend.segmenters.image_files import decode_image
from sam_backend.segmenters.image_folder import IMAGE_SUFFIXES
from sam_backend.settings import read_settings
from sam_evaluation.errors import BrokenSampleError, EvaluationError


@cache
def max_pixels() -> int:
    """Return the most pixels of an image or a mask that is read: the setting `max_image_pixels`."""
    return read_settings().max_image_pixels


def image_files(folder: Path, pattern: str = "*") -> list[Path]:
    """Return the image files in `folder` that match a glob `pattern`, sorted; [] if the folder does not exist."""
    return sorted(path for path in folder.glob(pattern) if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def require_some(names: Iterable[str], folder: Path, layout: str) -> list[str]:
    """Return the names, sorted.

    Raises
    ------
    EvaluationError
        If there are none; the message says which layout was expected.
    """
    some = sorted(names)
    if not some:
        raise EvaluationError(f"{folder} holds no images of this format. Expected: {layout}")
    return some


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return an image as uint8 RGB (H, W, 3), turned as its EXIF orientation says.

    Raises
    ------
    BrokenSampleError
        If it is missing or cannot be read.
    """
    try:
        return decode_image(path.read_bytes(), str(path), max_pixels=max_pixels())
    except OSError as error:
        raise BrokenSampleError(f"{path} cannot be read: {error.strerror}.") from None
    except SamInspectError as error:
        raise BrokenSampleError(str(error)) from None


def require_size(image: NDArray[np.uint8], mask: NDArray[np.generic] | BoolArray, path: Path) -> None:
    """Check that a mask has the size of its image.

    Parameters
    ----------
    image : uint8 (H, W, 3).
    mask : any type, (H, W).
    path : Path, names the mask in the error.

    Raises
    ------
    BrokenSampleError
        If the sizes differ.
    """
    if image.shape[:2] != mask.shape[:2]:
        height, width = image.shape[:2]
        raise BrokenSampleError(
            f"The mask {path} is {mask.shape[1]} x {mask.shape[0]} pixels, its image {width} x {height}; "
            "both must have the same size."
        )
