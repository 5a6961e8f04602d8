"""A picture of many images at once, each with the boxes and masks on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from sam_backend.arrays import BoolArray, FloatArray, ImageArray

_CELL = 320
_CAPTION = 18
_COLUMNS = 4
_BOX, _MASK = (255, 200, 0), (0, 160, 255)


def contact_sheet(cells: Iterable[tuple[str, ImageArray, Sequence[FloatArray], Sequence[BoolArray]]]) -> Image.Image:
    """Return the picture.

    Parameters
    ----------
    cells : for each image its caption, pixels uint8 RGB (H, W, 3), boxes (4,) xyxy in pixels, and masks bool (H, W).
    """
    made = [_cell(*cell) for cell in cells]
    columns = min(len(made), _COLUMNS) or 1
    rows = -(-len(made) // columns)
    sheet = Image.new("RGB", (columns * _CELL, rows * (_CELL + _CAPTION)), "white")
    for number, cell in enumerate(made):
        sheet.paste(cell, (number % columns * _CELL, number // columns * (_CELL + _CAPTION)))
    return sheet


def _cell(caption: str, pixels: ImageArray, boxes: Sequence[FloatArray], masks: Sequence[BoolArray]) -> Image.Image:
    height, width = pixels.shape[:2]
    scale = min((_CELL - 4) / width, (_CELL - 4) / height)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    shown = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    for mask in masks:
        small = cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(small, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        shown = cv2.drawContours(np.ascontiguousarray(shown), outlines, -1, _MASK, 1)
    picture = Image.fromarray(shown)
    draw = ImageDraw.Draw(picture)
    for box in boxes:
        draw.rectangle([float(value) * scale for value in box], outline=_BOX)
    cell = Image.new("RGB", (_CELL, _CELL + _CAPTION), "white")
    cell.paste(picture, (2, 2))
    ImageDraw.Draw(cell).text((4, _CELL + 2), caption, fill="black")
    return cell
