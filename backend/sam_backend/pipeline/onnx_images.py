"""ONNX models that look at images: how an image becomes their input, and the labels that their file names."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import Field

from sam_backend.arrays import ImageArray
from sam_backend.errors import BadRequestError
from sam_backend.segmenters.onnx_sessions import open_session

Fit = Literal["letterbox", "stretch"]
"""How an image gets the size of a model's input: with its proportions and grey beside it, or stretched."""

Channels = tuple[float, float, float]
"""A value for red, green and blue, as a share of 255."""

Side = Annotated[int, Field(ge=8, le=4096)]

NO_MEAN: Channels = (0.0, 0.0, 0.0)
NO_STD: Channels = (1.0, 1.0, 1.0)
IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)

_PADDING = 114
"""Grey of what is beside a letterboxed image, as in Ultralytics' models."""

_DEFAULT_SIDE = 640
"""Side in pixels of the input of a model that takes any."""


@dataclass(frozen=True, eq=False)
class Placed:
    """An image as a model's input, and the way back.

    Attributes
    ----------
    values : float32 (1, 3, h, w), RGB.
    scale : pixels of the input for a pixel of the image, in x and y.
    offset : x and y in pixels of the input where the image begins.
    """

    values: NDArray[np.float32]
    scale: tuple[float, float]
    offset: tuple[int, int]


class ImageModel:
    """An ONNX model with one image as its input.

    Parameters
    ----------
    file : Path of the ONNX file; its input is float32 (N, 3, H, W), RGB.
    size : int, side in pixels of the input, where the file leaves it open; None for 640.
    fit : "letterbox" or "stretch".
    mean, std : of red, green and blue in [0, 1]; the input is (value / 255 - mean) / std.

    Raises
    ------
    WeightsError
        If the file is no ONNX model.
    BadRequestError
        If its input is no image.
    """

    def __init__(self, file: Path, size: int | None, fit: Fit, mean: Channels, std: Channels) -> None:
        self._session = open_session(file, 1, "step", "name an ONNX file")
        inputs = self._session.get_inputs()
        shape = inputs[0].shape
        if len(inputs) != 1 or len(shape) != 4 or shape[1] != 3 or inputs[0].type != "tensor(float)":
            got = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
            raise BadRequestError(
                f"{file} takes {got}; expected one input tensor(float) of shape [1, 3, height, width]."
            )
        if not (isinstance(shape[0], str) or shape[0] in (1, None)):
            raise BadRequestError(f"{file} takes {shape[0]} images at once; export it for one.")
        self._input = inputs[0].name
        self._shape = [side if isinstance(side, int) else size or _DEFAULT_SIDE for side in shape[2:]]
        self._fit, self._mean, self._std = fit, np.array(mean, np.float32), np.array(std, np.float32)

    @property
    def session(self) -> onnxruntime.InferenceSession:
        """The session."""
        return self._session

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width in pixels of the input."""
        return self._shape[0], self._shape[1]

    def run(self, image: ImageArray) -> tuple[dict[str, NDArray[Any]], Placed]:
        """Return the outputs by their names, and how the image was placed."""
        placed = self._place(image)
        names = [one.name for one in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, {self._input: placed.values}), strict=True)), placed

    def _place(self, image: ImageArray) -> Placed:
        (height, width), (rows, columns) = image.shape[:2], self._shape
        down, across = rows / height, columns / width
        if self._fit == "letterbox":
            down = across = min(down, across)
        inner = max(round(height * down), 1), max(round(width * across), 1)
        shrinks = inner[0] < height
        resized = cv2.resize(image, inner[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        canvas = np.full((rows, columns, 3), _PADDING, np.uint8)
        top, left = (rows - inner[0]) // 2, (columns - inner[1]) // 2
        canvas[top : top + inner[0], left : left + inner[1]] = resized
        values = (canvas.astype(np.float32) / 255 - self._mean) / self._std
        scale = inner[1] / width, inner[0] / height
        return Placed(np.ascontiguousarray(values.transpose(2, 0, 1)[None]), scale, (left, top))


def labels_in(session: onnxruntime.InferenceSession) -> list[str]:
    """Return the labels that a file's metadata name, as Ultralytics and others write them; [] for none."""
    metadata = session.get_modelmeta().custom_metadata_map
    for key in ("names", "labels", "id2label"):
        text = metadata.get(key, "")
        for parse in (json.loads, ast.literal_eval):
            try:
                found = parse(text)
            except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
                continue
            if isinstance(found, dict):
                found = [found[number] for number in sorted(found, key=int)]
            if isinstance(found, list) and found:
                return [str(one) for one in found]
    return []
