"""Lone clicks: of the masks that a segmenter offers, the one that looks like what was accepted under the label."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.masks import deepest_point, mask_iou
from sam_backend.memory.class_model import ClassModel
from sam_backend.memory.features import AcceptedMask
from sam_backend.segmenters import Candidates, Embedding, Prompt, Segmenter
from sam_backend.segmenters.pieces import clicked_pieces
from sam_backend.segmenters.protocol import POSITIVE, Window
from sam_backend.segmenters.windows import side_of, whole_image
from sam_backend.segmenters.wrapper import SegmenterWrapper

DEFAULT_WEIGHT = 2.0
"""Weight of a mask's IoU with its place, beside the log-odds of its predicted IoU."""

WEIGHTS = (0.0, DEFAULT_WEIGHT, 4.0)
"""The weights of which a project takes the one that its accepted masks speak for; with 0 nothing changes."""

_DEFAULT_GAIN, _DEFAULT_MASKS = 0.01, 10
"""The default counts as if it had brought this much IoU on this many masks."""

_LIKELY = 0.5
"""Probability of the class from which a cell belongs to a place."""

_BELOW_CLICK = 0.8
"""Where the clicked cell is less likely than that, its place begins at this share of its probability."""

_BLUR = 0.7

_IMAGES = 16
"""Images whose probabilities are kept, because a further click on an image is likely."""

_MASKS_PER_IMAGE = 4
"""Masks of an image on which `click_gains` clicks."""


class RecentShares:
    """The probabilities of the classes in the cells of recent images. Safe to share between threads."""

    def __init__(self) -> None:
        self._kept: LRUCache[str, tuple[ClassModel, FloatArray]] = LRUCache(_IMAGES)
        self._lock = threading.Lock()

    def of(self, image: str, segmenter: Segmenter, embedding: Embedding, classes: ClassModel) -> FloatArray:
        """Return the probabilities (rows, columns, 1 + K) of background and classes in the cells of an image.

        Parameters
        ----------
        image : str, unique for the image and the version of the segmenter.
        segmenter : Segmenter that made the embedding.
        embedding : Embedding of the image.
        classes : ClassModel.
        """
        with self._lock:
            known, shares = self._kept.get(image, (None, None))
        if shares is None or known is not classes:
            shares = class_shares(segmenter, embedding, classes)
            with self._lock:
                self._kept[image] = (classes, shares)
        return shares


class LikeAccepted(SegmenterWrapper):
    """A segmenter that answers a lone click with the mask that fits the place of a class best.

    The place is the connected cells around the click that resemble what was accepted as the class. The predicted IoU
    of each mask is changed by how well the two agree, so that `Candidates.best` is the mask that fits. Other prompts
    are answered as before.

    Parameters
    ----------
    segmenter : Segmenter.
    classes : ClassModel.
    label : one of the classes.
    weight : one of `WEIGHTS`.
    recent : RecentShares.
    image : str, unique for the image of which all prompts are, and for the version of the segmenter.
    """

    def __init__(
        self, segmenter: Segmenter, classes: ClassModel, label: str, weight: float, recent: RecentShares, image: str
    ) -> None:
        super().__init__(segmenter)
        self._classes, self._weight = classes, weight
        self._index = 1 + classes.labels.index(label)
        self._recent, self._image = recent, image

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        """Answer each prompt; the predicted IoU of the masks of a lone click heeds the class."""
        answers = self._segmenter.decode(embedding, prompts, multimask=multimask)
        return [
            self._judged(embedding, prompt, answer) if prompt.is_ambiguous and len(answer.masks) > 1 else answer
            for prompt, answer in zip(prompts, answers, strict=True)
        ]

    def _judged(self, embedding: Embedding, prompt: Prompt, answer: Candidates) -> Candidates:
        # Imported late, because it is slow and a service must listen before it.
        from scipy.special import expit

        shares = self._recent.of(self._image, self._segmenter, embedding, self._classes)
        agreement = place_agreement(shares[..., self._index], prompt, answer)
        log_odds = log_odds_with(answer, agreement, self._weight)
        # Their mean stays, so that it is still about the IoU of the masks.
        log_odds -= self._weight * agreement.mean()
        return replace(answer, predicted_iou=expit(log_odds).astype(np.float32))


def class_shares(segmenter: Segmenter, embedding: Embedding, classes: ClassModel) -> FloatArray:
    """Return the probabilities (rows, columns, 1 + K) of background and classes in the cells of an image."""
    features = segmenter.features(embedding)
    rows, columns = features.shown
    return classes.probabilities(features)[:rows, :columns]


def log_odds_with(answer: Candidates, agreement: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """Return the log-odds (K,) of the predicted IoU, plus `weight` times the agreement (K,) with the place."""
    # Imported late, because it is slow and a service must listen before it.
    from scipy.special import logit

    own: NDArray[np.float64] = logit(np.clip(answer.predicted_iou, 0.01, 0.99).astype(np.float64))
    return own + weight * agreement


def place_agreement(shares: FloatArray, prompt: Prompt, answer: Candidates) -> NDArray[np.float64]:
    """Return the IoU (K,) of each mask of a lone click with the place of the class around the click, in cells.

    Parameters
    ----------
    shares : (rows, columns) probabilities of the class in the cells of the image.
    prompt : the lone click.
    answer : Candidates of the click.
    """
    rows, columns = shares.shape
    height, width = answer.masks.shape[1:]
    size = height, width
    smooth = cv2.GaussianBlur(np.ascontiguousarray(shares, np.float32), (0, 0), _BLUR)
    x, y = prompt.points[0]
    row = min(max(int(y * rows / size[0]), 0), rows - 1)
    column = min(max(int(x * columns / size[1]), 0), columns - 1)
    likely = smooth > min(_LIKELY, _BELOW_CLICK * float(smooth[row, column]))
    _, parts = cv2.connectedComponents(likely.astype(np.uint8))
    place = parts == parts[row, column]
    covered = [_covered(logits, answer.window, prompt.points[0], size, shares.shape) for logits in answer.logits]
    return np.array([_soft_iou(share, place) for share in covered])


def click_gains(
    segmenter: Segmenter, embedding: Embedding, classes: ClassModel, masks: Sequence[AcceptedMask]
) -> NDArray[np.float64]:
    """Click on accepted masks of an image; return how much more IoU (N, 3) is reached with each of `WEIGHTS`.

    Parameters
    ----------
    segmenter : Segmenter that made the embedding.
    embedding : Embedding of the image.
    classes : ClassModel that was fitted without the image.
    masks : accepted masks, not empty; a few of them are clicked, in their deepest points.
    """
    known = [accepted for accepted in masks if accepted.label in classes.labels][:_MASKS_PER_IMAGE]
    if not known:
        return np.zeros((0, len(WEIGHTS)))
    shares = class_shares(segmenter, embedding, classes)
    points = [np.array([deepest_point(accepted.mask)], np.float32) for accepted in known]
    prompts = [Prompt(point, np.array([POSITIVE])) for point in points]
    gains = []
    for accepted, prompt, answer in zip(known, prompts, segmenter.decode(embedding, prompts), strict=True):
        agreement = place_agreement(shares[..., 1 + classes.labels.index(accepted.label)], prompt, answer)
        ious = np.array([mask_iou(mask, accepted.mask) for mask in answer.masks])
        chosen = [int(np.argmax(log_odds_with(answer, agreement, weight))) for weight in WEIGHTS]
        gains.append(ious[chosen] - ious[answer.best])
    return np.array(gains)


def chosen_weight(gains: NDArray[np.float64]) -> float:
    """Return the weight that accepted masks speak for; with few of them it is the default.

    Parameters
    ----------
    gains : (N, 3), for each accepted mask how much more IoU a click on it reaches with each of `WEIGHTS`.
    """
    prior = [_DEFAULT_GAIN * _DEFAULT_MASKS * (weight == DEFAULT_WEIGHT) for weight in WEIGHTS]
    return WEIGHTS[int(np.argmax(gains.reshape(-1, len(WEIGHTS)).sum(0) + prior))]


def _covered(
    logits: FloatArray, window: Window | None, point: FloatArray, size: tuple[int, int], cells: tuple[int, ...]
) -> NDArray[np.float64]:
    """Return which share of each of `cells` (rows, columns) of an image the clicked piece of a mask covers.

    Its logits (h, w) are enough for that, so that only the mask that is chosen is drawn.
    """
    window = window or whole_image(size)
    corner, scale = np.array(window[:2]), max(logits.shape) / side_of(window)
    piece = clicked_pieces(logits > 0, (point - corner)[None] * scale)
    places = np.argwhere(piece)[:, ::-1]
    spots = (places + 0.5) / scale + corner
    at = np.floor(spots * np.array(cells[::-1]) / np.array(size[::-1])).astype(int)
    at = at[(at < cells[::-1]).all(1)]
    counts = np.bincount(at[:, 1] * cells[1] + at[:, 0], minlength=cells[0] * cells[1]).reshape(cells)
    return np.minimum(counts * (cells[0] * cells[1]) / (size[0] * size[1] * scale**2), 1.0)


def _soft_iou(covered: NDArray[np.float64], place: BoolArray) -> float:
    """Return the IoU of a mask with a place (rows, columns), a cell counting by how much of it is covered."""
    return float(covered[place].sum() / max(np.maximum(covered, place).sum(), 1e-6))
