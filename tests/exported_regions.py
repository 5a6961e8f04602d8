"""Regions as Label Studio exports them, on images of WIDTH x HEIGHT pixels; brushes are packed by its own code."""

import base64
import io

import numpy as np
from label_studio_sdk.converter.brush import mask2rle
from PIL import Image

from mask_files import HEIGHT, WIDTH

NOISE = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.3
CORNERS = [(3, 2), (8, 2), (8, 8), (3, 8)]
OTHER_CORNERS = [(20, 12), (28, 12), (28, 18), (20, 18)]


def region(kind: str, label: str | None = "dent", **value: object) -> dict:
    labels = {kind: [label]} if label else {}
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {"id": "x1", "type": kind, "from_name": "a", "to_name": "image", **size, "value": {**value, **labels}}


def percent(points: list) -> list:
    return [[x / WIDTH * 100, y / HEIGHT * 100] for x, y in points]


def polygon(points: list = CORNERS, kind: str = "polygonlabels", label: str | None = "dent") -> dict:
    return region(kind, label, points=percent(points), closed=True)


def box(x: float, y: float, width: float, height: float, **value: object) -> dict:
    shares = {"x": x / WIDTH, "y": y / HEIGHT, "width": width / WIDTH, "height": height / HEIGHT}
    return region("rectanglelabels", **{key: share * 100 for key, share in shares.items()}, **value)


def _data_url(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def bitmask(mask: np.ndarray) -> dict:
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[..., 3] = mask * 255
    return region("bitmasklabels", imageDataURL=_data_url(pixels))


def brush(mask: np.ndarray) -> dict:
    return region("brushlabels", format="rle", rle=mask2rle(mask.astype(np.uint8) * 255))
