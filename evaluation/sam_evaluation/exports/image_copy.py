"""The file of an image, beside what is written of it: its bytes, or a PNG where its bytes would be misread."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam_backend.samples import Sample

_ORIENTATION = 0x0112

TURNED = "image turned by EXIF, saved upright as PNG, as readers differ about it"
INSIDE = "image inside another file, or a page of one, saved as PNG"
OTHER = "image of a kind that the format's readers do not take, saved as PNG"


def why_png(sample: Sample, suffixes: Collection[str]) -> str:
    """Return why an image cannot be copied byte by byte; "" where it can.

    Parameters
    ----------
    sample : Sample.
    suffixes : what the format takes, in small letters.
    """
    if sample.file is None:
        return INSIDE
    if _orientation(sample.file) != 1:
        return TURNED
    return "" if sample.file.suffix.lower() in suffixes else OTHER


def save_png(sample: Sample, target: Path) -> None:
    """Save the pixels of a sample, without loss, as they are seen: upright, with 8 bits."""
    target.write_bytes(png_bytes(sample.image))


def png_bytes(pixels: NDArray[np.generic]) -> bytes:
    """Return a PNG of values, uint8 or uint16 (H, W), or of colours, red, green and blue, uint8 (H, W, 3)."""
    return cv2.imencode(".png", pixels if pixels.ndim == 2 else pixels[..., ::-1])[1].tobytes()


def copy_file(file: Path, target: Path, *, owned: bool) -> None:
    """Copy a file; if it is `owned`, nobody else uses it, and it is linked where the file system can."""
    if owned:
        try:
            os.link(file, target)
            # Fetched files are their owner's alone; a training may run as somebody else.
            target.chmod(0o644)
            return
        except OSError:
            pass
    shutil.copyfile(file, target)


def _orientation(file: Path) -> int:
    try:
        with Image.open(file) as image:
            return int(image.getexif().get(_ORIENTATION, 1) or 1)
    # A TIFF of deep colours, which Pillow does not know, or broken EXIF.
    except (OSError, ValueError, SyntaxError, TypeError):
        return 1
