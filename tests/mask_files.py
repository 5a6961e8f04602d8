"""Small images and masks on disk, for the tests of data sets."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 24, 32
# Two blocks that do not touch, of 30 and 48 pixels, both above the least area of an object.
FIRST = np.s_[2:8, 3:8]
SECOND = np.s_[12:18, 20:28]


def surface(seed: int = 0) -> NDArray[np.uint8]:
    """Return an RGB image (HEIGHT, WIDTH, 3) of noise."""
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def painted(first: int = 0, second: int = 0, background: int = 0) -> NDArray[np.uint8]:
    """Return a label map (HEIGHT, WIDTH) with these values in the blocks FIRST and SECOND."""
    labels = np.full((HEIGHT, WIDTH), background, np.uint8)
    labels[FIRST], labels[SECOND] = first, second
    return labels


def block(where: tuple[slice, slice]) -> NDArray[np.bool_]:
    """Return the mask (HEIGHT, WIDTH) of one block."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[where] = True
    return mask


def save(path: Path, pixels: NDArray[np.uint8]) -> Path:
    """Write an image file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def real_data(name: str) -> Path:
    """Return the folder of a real data set; skip the test where there is none."""
    root = os.environ.get("SAM_INSPECT_DATA")
    if root is None:
        pytest.skip("SAM_INSPECT_DATA, the folder of real data sets, is not set")
    folder = Path(root) / name
    if not folder.is_dir():
        pytest.skip(f"SAM_INSPECT_DATA holds no {name}")
    return folder
