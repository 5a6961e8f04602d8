"""A dozen images the product makes itself: industrial surfaces with one defect each, and the defect's exact mask."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sam_backend.arrays import BoolArray, ImageArray
from sam_backend.demo import defects, surfaces

LABELS = ("Stain", "Pit", "Scratch", "Crack")

# Easiest first: the first one is what a newcomer clicks.
_RECIPES: tuple[tuple[str, surfaces.Surface, str, defects.Defect, tuple[int, int]], ...] = (
    ("steel-stain", surfaces.brushed_metal, "Stain", defects.stain, (768, 1024)),
    ("concrete-crack", surfaces.concrete, "Crack", defects.crack, (768, 1024)),
    ("tile-pit", surfaces.ceramic, "Pit", defects.pit, (800, 800)),
    ("steel-scratch", surfaces.brushed_metal, "Scratch", defects.scratch, (640, 960)),
    ("casting-pit", surfaces.cast_iron, "Pit", defects.pit, (720, 960)),
    ("concrete-stain", surfaces.concrete, "Stain", defects.stain, (800, 800)),
    ("tile-crack", surfaces.ceramic, "Crack", defects.crack, (800, 800)),
    ("casting-scratch", surfaces.cast_iron, "Scratch", defects.scratch, (640, 960)),
    ("steel-pit", surfaces.brushed_metal, "Pit", defects.pit, (640, 960)),
    ("tile-stain", surfaces.ceramic, "Stain", defects.stain, (720, 960)),
    ("concrete-pit", surfaces.concrete, "Pit", defects.pit, (768, 1024)),
    ("tile-scratch", surfaces.ceramic, "Scratch", defects.scratch, (800, 800)),
)


@dataclass(frozen=True, eq=False)
class DemoImage:
    """An image with one defect.

    Attributes
    ----------
    name : file name.
    pixels : (H, W, 3) uint8 RGB.
    label : one of `LABELS`.
    mask : (H, W) bool, the defect.
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
    """Make the dozen; the same ones every time."""
    for seed, (name, surface, label, defect, size) in enumerate(_RECIPES):
        rng = np.random.default_rng(seed)
        drawn, mask = defect(surface(size, rng), rng)
        noisy = drawn + rng.normal(0, 1.5, drawn.shape)  # a camera's
        yield DemoImage(f"{name}.jpg", np.clip(noisy, 0, 255).astype(np.uint8), label, mask)


def write_images(folder: Path) -> list[Path]:
    """Write the dozen into `folder` as JPEG files, those that are not there yet, and return all their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for image in make_images():
        file = folder / image.name
        if not file.is_file():
            _, encoded = cv2.imencode(".jpg", image.pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
            unfinished = file.with_suffix(".tmp")
            unfinished.write_bytes(encoded.tobytes())
            unfinished.replace(file)
        files.append(file)
    return files
