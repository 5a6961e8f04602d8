"""A picture of many images at once, each with the boxes and masks on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

from sam_backend.arrays import FloatArray, ImageArray
from sam_backend.samples import Cropped

_CELL = 320
_CAPTION = 18
_COLUMNS = 4
_BOX, _MASK = (255, 200, 0), (0, 160, 255)


@dataclass(frozen=True, eq=False)
class Cell:
    """An image of a contact sheet.

    Attributes
    ----------
    caption : str.
    pixels : uint8 RGB (h, w, 3), the image at any size.
    size : (H, W) in pixels of the image that boxes and masks are of.
    boxes : list of (4,) xyxy.
    masks : list of Cropped.
    """

    caption: str
    pixels: ImageArray
    size: tuple[int, int]
    boxes: Sequence[FloatArray]
    masks: Sequence[Cropped]


def contact_sheet(cells: Iterable[Cell]) -> Image.Image:
    """Return the picture."""
    made = [_drawn(cell) for cell in cells]
    columns = min(len(made), _COLUMNS) or 1
    rows = -(-len(made) // columns)
    sheet = Image.new("RGB", (columns * _CELL, rows * (_CELL + _CAPTION)), "white")
    for number, cell in enumerate(made):
        sheet.paste(cell, (number % columns * _CELL, number // columns * (_CELL + _CAPTION)))
    return sheet


def _drawn(cell: Cell) -> Image.Image:
    height, width = cell.size
    scale = min((_CELL - 4) / width, (_CELL - 4) / height)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    shown = cv2.resize(cell.pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    for mask in cell.masks:
        outlines, _ = cv2.findContours(mask.part.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        corner = np.array(mask.corner[::-1])
        # The middles of pixels, in pixels of the shown image.
        placed = [np.floor((outline + corner + 0.5) * scale).astype(np.int32) for outline in outlines]
        shown = cv2.polylines(shown, placed, isClosed=True, color=_MASK)
    picture = Image.fromarray(shown)
    draw = ImageDraw.Draw(picture)
    for box in cell.boxes:
        draw.rectangle([float(value) * scale for value in box], outline=_BOX)
    made = Image.new("RGB", (_CELL, _CELL + _CAPTION), "white")
    made.paste(picture, (2, 2))
    ImageDraw.Draw(made).text((4, _CELL + 2), cell.caption, fill="black")
    return made
