"""A classical baseline without weights: OpenCV's GrabCut on a local crop.

GrabCut (Rother, Kolmogorov, Blake, SIGGRAPH 2004) fits a colour mixture to object and background and cuts the pixel
graph between them. It takes a box. For clicks, this project uses a window around them as the box.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from sam_backend.arrays import BoolArray, FloatArray, ImageArray
from sam_backend.masks import mask_box
from sam_backend.segmenters.entries import GRABCUT
from sam_backend.segmenters.model_registry import no_features
from sam_backend.segmenters.pieces import clicked_pieces
from sam_backend.segmenters.protocol import (
    NEGATIVE,
    POSITIVE,
    Candidates,
    DenseFeatures,
    Embedding,
    Prompt,
)

LOGITS_SIDE = 256
"""Pixels of the longer side of the logits, as SAM's."""

_ITERATIONS = 4
_CROP_SIDE = 320
"""Longer crops are reduced to this many pixels: the time of a cut grows faster than its pixels."""

_CLICK_WINDOWS = (1 / 3, 1 / 6, 2 / 3)
"""Half of a window's side for a click, as a share of the image's shorter side; a single answer uses the first."""

_POSITIVE_RADIUS, _NEGATIVE_RADIUS = 3, 6
"""Radius in pixels of the crop in which all belongs to what was clicked; smaller discs barely change the mixtures."""

_CONTEXTS = (0.5, 0.25, 1.0)
"""Background around a box or an earlier mask, as a share of its sides; a single answer uses the first."""

_LEAST_KEPT = 0.05
"""If a cut leaves a smaller share of a box than this, it lost the object; the filled box is the better answer."""

# cv2.grabCut uses OpenCV's global random generator, so seeding and cutting must not be interrupted.
_LOCK = threading.Lock()


@dataclass(frozen=True)
class _View:
    """The window of the object and the crop around it: two boxes xyxy in whole pixels, the first in the second."""

    window: NDArray[np.int64]
    crop: NDArray[np.int64]


class GrabCutSegmenter:
    """GrabCut as a `Segmenter`. The embedding is the image. Answers do not depend on threads or on order.

    The predicted IoU is the expectation under the two colour mixtures: with p the posterior of "object" at a pixel, it
    is the sum of p over the mask / (pixels of the mask + sum of p outside it), over the crop. It ignores the shape.
    """

    info = GRABCUT
    name = GRABCUT.name
    version = f"grabcut-1-opencv-{cv2.__version__}"

    def encode(self, image: ImageArray) -> Embedding:
        """Keep the image: uint8 RGB (H, W, 3)."""
        return Embedding({"image": image}, (image.shape[0], image.shape[1]))

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        """Answer each prompt; three masks use three sizes of surroundings."""
        image = np.asarray(embedding.arrays["image"], np.uint8)
        return [_answer(image, prompt, prompt.is_ambiguous if multimask is None else multimask) for prompt in prompts]

    def features(self, embedding: Embedding) -> DenseFeatures:
        """Raise BadRequestError: GrabCut has no features."""
        raise no_features(embedding)


def _answer(image: ImageArray, prompt: Prompt, multimask: bool) -> Candidates:
    size = (image.shape[0], image.shape[1])
    prior = None
    if prompt.logits is not None:
        # Logits that were moved from another window are padded to a square.
        rows, columns = (math.ceil(side * max(prompt.logits.shape) / max(size)) for side in size)
        prior = cv2.resize(prompt.logits[:rows, :columns], size[::-1], interpolation=cv2.INTER_LINEAR) > 0
    count = 3 if multimask else 1
    views = _views(size, prompt, prior, count)
    answers = [_cut(image, view, prompt, prior) for view in views] or [(np.zeros(size, bool), 0.0)] * count
    masks = np.stack([mask for mask, _ in answers])
    predicted_iou = np.array([iou for _, iou in answers], np.float32)
    return Candidates(masks, predicted_iou, np.stack([_logits(mask) for mask in masks]))


def _views(size: tuple[int, int], prompt: Prompt, prior: BoolArray | None, count: int) -> list[_View]:
    """Return `count` views of the object, or none for negative points alone."""
    extent = _extent(prompt, prior)
    if extent is None:
        return []
    views = []
    for click_share, context in zip(_CLICK_WINDOWS[:count], _CONTEXTS[:count], strict=True):
        sides = np.tile(extent[2:] - extent[:2], 2)
        outwards = np.array([-1, -1, 1, 1], np.float32)
        if prompt.box is not None:
            window = extent
        elif prior is not None:
            window = extent + np.float32(context / 2) * outwards * sides
        else:
            window = extent + np.float32(max(click_share * min(size), 4)) * outwards
        crop = window + outwards * np.maximum(np.float32(context) * np.tile(window[2:] - window[:2], 2), 8)
        views.append(_View(_whole_pixels(window, size), _whole_pixels(crop, size)))
    return views


def _extent(prompt: Prompt, prior: BoolArray | None) -> FloatArray | None:
    """Return the box xyxy around the positive points, and the box or the earlier mask."""
    positive = prompt.points[prompt.labels == POSITIVE]
    boxes = [np.concatenate([point, point + 1]) for point in positive]
    if prompt.box is not None:
        boxes.append(prompt.box)
    elif prior is not None and (around := mask_box(prior)):
        boxes.append(np.array(around))
    if not boxes:
        return None
    stacked = np.stack(boxes).astype(np.float32)
    extent: FloatArray = np.concatenate([stacked[:, :2].min(0), stacked[:, 2:].max(0)])
    return extent


def _whole_pixels(box: FloatArray, size: tuple[int, int]) -> NDArray[np.int64]:
    """Return the pixels that a box touches, as a box in the image with at least one pixel."""
    height, width = size
    low = np.clip(np.floor(box[:2]), 0, (width - 1, height - 1))
    high = np.clip(np.ceil(box[2:]), low + 1, (width, height))
    whole: NDArray[np.int64] = np.concatenate([low, high]).astype(np.int64)
    return whole


def _cut(image: ImageArray, view: _View, prompt: Prompt, prior: BoolArray | None) -> tuple[BoolArray, float]:
    """Return the mask (H, W) of one view, and its predicted IoU."""
    left, top, right, bottom = view.crop
    scale = min(1.0, _CROP_SIDE / max(right - left, bottom - top))
    crop = cv2.resize(image[top:bottom, left:right], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    last = np.array(crop.shape[1::-1]) - 1
    clicks = np.clip(((prompt.points - (left, top)) * scale).astype(int), 0, last)
    trimap = _trimap(view, prompt, clicks, prior, crop.shape[:2])
    window = np.isin(trimap, (cv2.GC_PR_FGD, cv2.GC_PR_BGD, cv2.GC_FGD))
    mask, posterior = _solve(crop, trimap)
    if prompt.box is None:
        mask = clicked_pieces(mask, clicks[prompt.labels == POSITIVE])
    elif mask.sum() < _LEAST_KEPT * window.sum():
        mask = window
    expected = posterior[mask].sum() / max(mask.sum() + posterior[window & ~mask].sum(), 1)
    whole = np.zeros(image.shape[:2], bool)
    enlarged = cv2.resize(mask.astype(np.float32), (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    whole[top:bottom, left:right] = enlarged > 0.5
    return whole, float(expected)


def _trimap(
    view: _View, prompt: Prompt, clicks: NDArray[np.int64], prior: BoolArray | None, shape: tuple[int, int]
) -> ImageArray:
    """Return GrabCut's label of each pixel of the crop, at the scale of `shape` and `clicks`."""
    origin = view.crop[:2]
    scale = np.array(shape[::-1]) / (view.crop[2:] - origin)
    near, far = (((corner - origin) * scale).round().astype(int) for corner in (view.window[:2], view.window[2:]))
    inside = np.zeros(shape, bool)
    inside[near[1] : max(far[1], near[1] + 1), near[0] : max(far[0], near[0] + 1)] = True

    likely = inside.copy()
    if prior is not None:
        left, top, right, bottom = view.crop
        part = prior[top:bottom, left:right].astype(np.float32)
        likely &= cv2.resize(part, shape[::-1], interpolation=cv2.INTER_AREA) > 0
    elif prompt.box is None:
        # The object is likely near the clicks: within a quarter of the window.
        radius = max(int(min(far - near) / 4), 1)
        likely &= _discs(clicks[prompt.labels == POSITIVE], radius, shape)

    trimap = np.where(inside, np.where(likely, cv2.GC_PR_FGD, cv2.GC_PR_BGD), cv2.GC_BGD).astype(np.uint8)
    trimap[_discs(clicks[prompt.labels == NEGATIVE], _NEGATIVE_RADIUS, shape)] = cv2.GC_BGD
    trimap[_discs(clicks[prompt.labels == POSITIVE], _POSITIVE_RADIUS, shape)] = cv2.GC_FGD
    if not np.isin(trimap, (cv2.GC_BGD, cv2.GC_PR_BGD)).any():
        # The box is the whole image, so only its frame can be background.
        trimap[[0, -1]] = trimap[:, [0, -1]] = cv2.GC_PR_BGD
    return trimap


def _discs(centres: NDArray[np.int64], radius: int, shape: tuple[int, int]) -> BoolArray:
    """Return a mask of the pixels within `radius` of any of the centres (N, 2) xy."""
    drawn = np.zeros(shape, np.uint8)
    for x, y in centres.tolist():
        cv2.circle(drawn, (x, y), radius, 1, cv2.FILLED)
    return drawn.astype(bool)


def _solve(crop: ImageArray, trimap: ImageArray) -> tuple[BoolArray, FloatArray]:
    """Return the object's mask, and the colour mixtures' posterior of "object" at each pixel."""
    is_object = np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if is_object.all() or not is_object.any():
        return is_object, is_object.astype(np.float32)
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    with _LOCK:
        cv2.setRNGSeed(0)
        cv2.grabCut(crop, trimap, None, background, foreground, _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    odds = _log_density(crop, foreground[0]) - _log_density(crop, background[0])
    posterior: FloatArray = expit(odds)
    return np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD)), posterior


def _log_density(crop: ImageArray, mixture: NDArray[np.float64]) -> FloatArray:
    """Return the log-density of each pixel's colour under a mixture as GrabCut keeps it.

    `mixture` holds 5 weights, 5 means of 3, and 5 covariances of 3 x 3.
    """
    used = mixture[:5] > 0
    weights, means = mixture[:5][used], mixture[5:20].reshape(5, 3)[used]
    # The covariance of a flat colour is zero; a hundredth of a grey level makes it invertible.
    covariances = mixture[20:].reshape(5, 3, 3)[used] + 0.01 * np.eye(3)
    away = crop[:, :, None].astype(np.float32) - means
    squared = np.einsum("hwki,kij,hwkj->hwk", away, np.linalg.inv(covariances), away, optimize=True)
    terms = np.log(weights) - 0.5 * (np.linalg.slogdet(covariances)[1] + squared)
    density: FloatArray = np.logaddexp.reduce(terms, axis=2).astype(np.float32)
    return density


def _logits(mask: BoolArray) -> FloatArray:
    """Return the log-odds of the share that a mask covers of each cell of a grid of `LOGITS_SIDE`."""
    scale = min(1.0, LOGITS_SIDE / max(mask.shape))
    size = tuple(max(round(side * scale), 1) for side in mask.shape[::-1])
    covered: FloatArray = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    logits: FloatArray = logit((covered + 1e-3) / 1.002)
    return logits
