"""The twelve built-in images: industrial surfaces with one defect each, and the exact mask of the defect."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sam_backend.arrays import BoolArray, ImageArray
from sam_backend.demo import drawn_defects, surfaces
from sam_backend.files import write_whole

LABELS = ("Stain", "Pit", "Scratch", "Crack")

# The easiest comes first, because a new user clicks it first.
_IMAGES: tuple[tuple[str, surfaces.Surface, str, drawn_defects.Defect, tuple[int, int]], ...] = (
    ("steel-stain", surfaces.brushed_metal, "Stain", drawn_defects.stain, (768, 1024)),
    ("concrete-crack", surfaces.concrete, "Crack", drawn_defects.crack, (768, 1024)),
    ("tile-pit", surfaces.ceramic, "Pit", drawn_defects.pit, (800, 800)),
    ("steel-scratch", surfaces.brushed_metal, "Scratch", drawn_defects.scratch, (640, 960)),
    ("casting-pit", surfaces.cast_iron, "Pit", drawn_defects.pit, (720, 960)),
    ("concrete-stain", surfaces.concrete, "Stain", drawn_defects.stain, (800, 800)),
    ("tile-crack", surfaces.ceramic, "Crack", drawn_defects.crack, (800, 800)),
    ("casting-scratch", surfaces.cast_iron, "Scratch", drawn_defects.scratch, (640, 960)),
    ("steel-pit", surfaces.brushed_metal, "Pit", drawn_defects.pit, (640, 960)),
    ("tile-stain", surfaces.ceramic, "Stain", drawn_defects.stain, (720, 960)),
    ("concrete-pit", surfaces.concrete, "Pit", drawn_defects.pit, (768, 1024)),
    ("tile-scratch", surfaces.ceramic, "Scratch", drawn_defects.scratch, (800, 800)),
)


@dataclass(frozen=True, eq=False)
class DemoImage:
    """An image with one defect.

    Attributes
    ----------
    name : str, the file name.
    pixels : (H, W, 3) uint8 RGB.
    label : str, one of `LABELS`.
    mask : (H, W) bool, True on the defect.
    """

    name: str
    pixels: ImageArray
    label: str
    mask: BoolArray

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.mask.shape
        return height, width


def make_images() -> Iterator[DemoImage]:
    """Yield the images; they are the same every time."""
    for seed, (name, surface, label, defect, size) in enumerate(_IMAGES):
        rng = np.random.default_rng(seed)
        drawn, mask = defect(surface(size, rng), rng)
        noisy = drawn + rng.normal(0, 1.5, drawn.shape)  # the noise of a camera
        yield DemoImage(f"{name}.jpg", np.clip(noisy, 0, 255).astype(np.uint8), label, mask)


def write_data_set(folder: Path) -> list[Path]:
    """Write what is missing of the images and their exact masks, as `--data masks:<folder>` reads them.

    Returns
    -------
    list of Path, the images: JPEG files in `images/`. `masks/` has PNG files whose values are numbers of
        `classes.txt`, and 0.
    """
    write_whole(folder / "classes.txt", "".join(f"{value} {label}\n" for value, label in enumerate(LABELS, 1)).encode())
    files = []
    for image in make_images():
        file, mask = folder / "images" / image.name, folder / "masks" / f"{Path(image.name).stem}.png"
        for path, pixels, options in (
            (file, image.pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95]),
            (mask, image.mask * np.uint8(1 + LABELS.index(image.label)), []),
        ):
            if not path.is_file():
                _, encoded = cv2.imencode(path.suffix, pixels, options)
                write_whole(path, encoded.tobytes())
        files.append(file)
    return files
