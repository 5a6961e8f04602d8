"""Videos in the layout of DAVIS: `JPEGImages/480p/<sequence>/00000.jpg`, `Annotations/480p/<sequence>/00000.png`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam_backend.arrays import BoolArray, ImageArray
from sam_backend.errors import BadRequestError
from sam_evaluation.datasets.sample_files import image_files, read_image, require_size

VOID = 255
"""The value of pixels that do not count; in DAVIS 2016, of its one object."""

_LAYOUT = "JPEGImages/<sequence>/00000.jpg and Annotations/<sequence>/00000.png, as DAVIS has them"


@dataclass(frozen=True)
class Sequence:
    """A video with its objects.

    Attributes
    ----------
    name : str, its folder.
    images : tuple of Path, the frames in order.
    annotations : folder of the label maps, of the same names as the frames.
    """

    name: str
    images: tuple[Path, ...]
    annotations: Path

    def labels(self, frame: int) -> NDArray[np.uint8]:
        """Return the label map (H, W) of a frame: 0 for the ground, 255 for what does not count, else an object.

        Raises
        ------
        BadRequestError
            If it is missing or no label map.
        """
        path = self.annotations / f"{self.images[frame].stem}.png"
        try:
            with Image.open(path) as image:
                if image.mode not in ("P", "L", "1"):
                    raise ValueError
                labels = np.asarray(image if image.mode != "1" else image.convert("L"), np.uint8)
        except (OSError, ValueError):
            raise BadRequestError(f"{path} is no label map with one number a pixel; expected {_LAYOUT}.") from None
        # DAVIS 2016 has one object, white.
        return np.where(labels == VOID, 1, labels) if set(np.unique(labels)) <= {0, VOID} else labels

    def objects(self) -> dict[int, BoolArray]:
        """Return the objects of the first frame, number -> mask bool (H, W)."""
        labels = self.labels(0)
        return {int(number): labels == number for number in np.unique(labels) if number not in (0, VOID)}

    def frames(self) -> Iterator[tuple[ImageArray, NDArray[np.uint8]]]:
        """Yield each frame, uint8 RGB (H, W, 3), with its label map (H, W)."""
        for index, path in enumerate(self.images):
            image, labels = read_image(path), self.labels(index)
            require_size(image, labels, self.annotations / f"{path.stem}.png")
            yield image, labels


def read_sequences(folder: Path) -> list[Sequence]:
    """Return the sequences of a folder that have annotations, by name.

    Raises
    ------
    BadRequestError
        If the folder has another layout, or a sequence lacks a label map or has no object in its first frame.
    """
    images, annotations = (_of_resolution(folder / name) for name in ("JPEGImages", "Annotations"))
    found = []
    for place in sorted(images.iterdir()) if images.is_dir() else ():
        frames = tuple(image_files(place)) if place.is_dir() else ()
        if not frames or not (annotations / place.name).is_dir():
            continue
        sequence = Sequence(place.name, frames, annotations / place.name)
        missing = [path.stem for path in frames if not (sequence.annotations / f"{path.stem}.png").is_file()]
        if missing:
            raise BadRequestError(f"The sequence {place.name} of {folder} has no label map {missing[0]}.png.")
        if not sequence.objects():
            raise BadRequestError(f"The sequence {place.name} of {folder} has no object in its first frame.")
        found.append(sequence)
    if not found:
        raise BadRequestError(f"{folder} holds no videos; expected {_LAYOUT}.")
    return found


def _of_resolution(folder: Path) -> Path:
    """Return the folder of the sequences: DAVIS has one more level with the resolution."""
    inside = next((folder / name for name in ("480p", "Full-Resolution") if (folder / name).is_dir()), None)
    return inside or folder
