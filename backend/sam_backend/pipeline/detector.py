"""The step `detector`: boxes of an ONNX detector, in the layouts that the usual tools export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from sam_backend.errors import BadRequestError
from sam_backend.pipeline.onnx_images import (
    NO_MEAN,
    NO_STD,
    Channels,
    Fit,
    ImageModel,
    Placed,
    Side,
    labels_in,
)
from sam_backend.pipeline.scene import ProposedBox, Scene
from sam_backend.pipeline.step import File, Share

Boxes = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]
"""Boxes (N, 4) xyxy in pixels of the input, their scores (N,) and classes (N,)."""

_DETR, _LISTS, _END_TO_END, _YOLO = "detr", "lists", "end-to-end", "yolo"

_LAYOUTS = (
    "boxes, scores and labels (torchvision), logits and pred_boxes (DETR), one output [1, N, 6] (end to end), or one "
    "output [1, 4 + C, N] (YOLO)"
)


class Detector:
    """Propose the boxes of an ONNX detector.

    Its layout is known by its outputs: `boxes`, `scores`, `labels` as torchvision exports them; `logits` and
    `pred_boxes` of the DETR family, as Optimum does; one output (1, N, 6) with x0, y0, x1, y1, score and class; or
    one (1, 4 + C, N), with a centre, a size and the score of each class, as Ultralytics does.

    Parameters
    ----------
    file : Path of the ONNX file.
    labels : the labels in the order of the classes; empty for those in the file's metadata.
    min_score : least score.
    nms_iou : of two boxes of a class with at least this IoU, the better one is kept; 1 keeps all.
    activation : how logits of the DETR family become scores: "softmax", with a last class for nothing, or "sigmoid".
        "auto" takes softmax where there is one class more than labels.
    size, fit, mean, std : how an image becomes the input, see `ImageModel`.
    """

    def __init__(
        self,
        *,
        file: File,
        labels: tuple[str, ...] = (),
        min_score: Share = 0.3,
        nms_iou: Share = 0.5,
        activation: Literal["auto", "softmax", "sigmoid"] = "auto",
        size: Side | None = None,
        fit: Fit = "letterbox",
        mean: Channels = NO_MEAN,
        std: Channels = NO_STD,
    ) -> None:
        self._file, self._model = file, ImageModel(file, size, fit, mean, std)
        self._labels = list(labels) or labels_in(self._model.session)
        self._min_score, self._nms_iou, self._activation = min_score, nms_iou, activation
        if not self._labels:
            raise BadRequestError(f"{file} names no labels; add labels = [...] in the order of its classes.")
        self._layout = _layout(self._model, file, len(self._labels))

    def __call__(self, scene: Scene) -> list[ProposedBox]:
        """Return the boxes, the best first."""
        outputs, placed = self._model.run(scene.image)
        boxes, scores, classes = self._read(outputs)
        sure = (scores >= self._min_score) & (classes >= 0) & np.isfinite(boxes).all(1)
        boxes, scores, classes = boxes[sure], scores[sure], classes[sure]
        if len(classes) and (highest := classes.max()) >= len(self._labels):
            raise BadRequestError(
                f"{self._file} gave a box of class {highest}, counted from 0, but there are {len(self._labels)} "
                "labels; name all of its classes."
            )
        boxes = _in_image(boxes, placed, scene.size)
        return [
            ProposedBox(
                (float(boxes[i, 0]), float(boxes[i, 1]), float(boxes[i, 2]), float(boxes[i, 3])),
                self._labels[classes[i]],
                float(min(scores[i], 1.0)),
            )
            for i in _best(boxes, scores, classes, self._nms_iou)
            if boxes[i, 2] > boxes[i, 0] and boxes[i, 3] > boxes[i, 1]
        ]

    def _read(self, outputs: Mapping[str, NDArray[Any]]) -> Boxes:
        """Return what the outputs say."""
        if self._layout == _LISTS:
            boxes, scores, classes = outputs["boxes"], outputs["scores"], outputs["labels"]
            return _floats(boxes).reshape(-1, 4), _floats(scores).reshape(-1), classes.astype(np.int64).reshape(-1)
        if self._layout == _DETR:
            logits = _floats(outputs["logits"][0])
            has_none = self._activation == "softmax" or (
                self._activation == "auto" and logits.shape[-1] == len(self._labels) + 1
            )
            shares = softmax(logits, axis=-1)[:, :-1] if has_none else expit(logits)
            height, width = self._model.input_size
            boxes = _corners(_floats(outputs["pred_boxes"][0])) * (width, height, width, height)
            return boxes, shares.max(1), shares.argmax(1)
        (values,) = (_floats(value[0]) for value in outputs.values())
        if self._layout == _END_TO_END:
            return values[:, :4], values[:, 4], values[:, 5].astype(np.int64)
        rows = values.T if values.shape[0] == 4 + len(self._labels) else values
        return _corners(rows[:, :4]), rows[:, 4:].max(1), rows[:, 4:].argmax(1)


def _layout(model: ImageModel, file: Path, count: int) -> str:
    """Return which layout the outputs have."""
    outputs = model.session.get_outputs()
    shapes: dict[str, Sequence[int | str | None]] = {one.name: one.shape for one in outputs}
    if {"boxes", "scores", "labels"} <= shapes.keys():
        return _LISTS
    if {"logits", "pred_boxes"} <= shapes.keys():
        return _DETR
    if len(outputs) == 1 and len(shape := outputs[0].shape) == 3:
        if shape[2] == 6 and shape[1] != 4 + count:
            return _END_TO_END
        if 4 + count in shape[1:]:
            return _YOLO
    got = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
    raise BadRequestError(f"{file} gives {got} for {count} labels; expected {_LAYOUTS}.")


def _floats(values: NDArray[Any]) -> NDArray[np.float64]:
    return values.astype(np.float64)


def _corners(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return boxes xyxy of boxes with a centre and a size."""
    half = centred[:, 2:] / 2
    return np.concatenate([centred[:, :2] - half, centred[:, :2] + half], axis=1)


def _in_image(boxes: NDArray[np.float64], placed: Placed, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return boxes in pixels of the image, cut at its border."""
    offset, scale = np.tile(placed.offset, 2), np.tile(placed.scale, 2)
    height, width = size
    inside: NDArray[np.float64] = np.clip((boxes - offset) / scale, 0, (width, height, width, height))
    return inside


def _best(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], classes: NDArray[np.int64], nms_iou: float
) -> list[int]:
    """Return the indices of the boxes that no better one of their class overlaps, the best first."""
    if nms_iou >= 1 or not len(boxes):
        return [int(i) for i in np.argsort(-scores, kind="stable")]
    sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    return [int(i) for i in cv2.dnn.NMSBoxesBatched(sides.tolist(), scores.tolist(), classes.tolist(), 0.0, nms_iou)]
