"""Small images with bright blobs and their masks on disk, as the data set format `masks` reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 48


def write_blobs(
    folder: Path, count: int, *, objects: int = 2, size: int = SIZE, blob: tuple[int, int] = (12, 16)
) -> Path:
    """Write `count` images with `objects` blobs each, and their masks beside them; return the folder.

    `size` is the side of an image, `blob` the height and width of a blob, in pixels.
    """
    for number in range(count):
        rng = np.random.default_rng(number)
        mask = np.zeros((size, size), bool)
        for index in range(objects):
            row, column = 4 + 24 * index + rng.integers(0, 6), rng.integers(4, 24)
            mask[row : row + blob[0], column : column + blob[1]] = True
        grey = np.where(mask, 200, 70) + rng.integers(-20, 20, mask.shape)
        for kind, pixels in (("images", grey.astype(np.uint8)), ("masks", mask.astype(np.uint8) * 255)):
            path = folder / kind / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return folder
