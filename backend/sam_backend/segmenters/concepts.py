"""Concepts: a text, boxes around examples, or both; and the segmenters that find all that is alike in an image."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass, field
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.errors import BadRequestError, brief
from sam_backend.samples import Cropped
from sam_backend.segmenters.mask_stack import MaskStack
from sam_backend.segmenters.model_info import PromptKind
from sam_backend.segmenters.model_registry import require_prompts
from sam_backend.segmenters.protocol import NEGATIVE, POSITIVE, Embedding, Segmenter

MAX_TEXT = 500
"""Most characters of a text; models take a short noun phrase."""

MAX_BOXES = 100
"""Most boxes of a concept."""

LEAST_SCORE = 0.3
"""The score from which an instance is returned, as in the post-processing of `transformers`."""


def _no_boxes() -> FloatArray:
    return np.zeros((0, 4), np.float32)


def _no_labels() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


def prompts_needed(text: str, boxes: Sized) -> frozenset[PromptKind]:
    """Return the kinds of prompts that a model must take for a text, "" for none, and boxes."""
    kinds: dict[PromptKind, bool] = {"text": bool(text), "exemplars": len(boxes) > 0}
    return frozenset(kind for kind, is_there in kinds.items() if is_there)


@dataclass(frozen=True, eq=False)
class Concept:
    """What is to be found: a text, boxes around examples and counterexamples in the same image, or both.

    Attributes
    ----------
    text : str, a short noun phrase such as "scratch on steel"; "" for none.
    boxes : (N, 4) float32 xyxy in pixels of the image, half-open; (0, 4) for none.
    labels : (N,) int, 1 for a box around an example and 0 for a box around what is not meant.

    Raises
    ------
    BadRequestError
        If there is neither a text nor an example, or a text is too long, or a box is none.
    """

    text: str = ""
    boxes: FloatArray = field(default_factory=_no_boxes)
    labels: NDArray[np.int64] = field(default_factory=_no_labels)

    def __post_init__(self) -> None:
        boxes = np.asarray(self.boxes, np.float32)
        labels = np.asarray(self.labels, np.int64).reshape(-1)
        object.__setattr__(self, "text", self.text.strip())
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "labels", labels)
        if len(self.text) > MAX_TEXT:
            raise BadRequestError(
                f"A text may have {MAX_TEXT} characters; this one has {len(self.text):,}. Name what to find in a few "
                "words, such as 'scratch on steel'."
            )
        if boxes.ndim != 2 or boxes.shape[1] != 4 or not (boxes[:, 2:] > boxes[:, :2]).all():
            raise BadRequestError(
                f"An exemplar is a box x0, y0, x1, y1 with x1 > x0 and y1 > y0; got {brief(boxes.tolist())}."
            )
        if len(boxes) > MAX_BOXES:
            raise BadRequestError(f"{len(boxes)} exemplar boxes came at once; at most {MAX_BOXES} are taken.")
        if len(labels) != len(boxes) or not np.isin(labels, (NEGATIVE, POSITIVE)).all():
            raise BadRequestError(
                f"Each exemplar box has the label 1 (positive) or 0 (negative); got {len(boxes)} boxes and "
                f"{brief(labels.tolist())}."
            )
        if not self.text and not (labels == POSITIVE).any():
            raise BadRequestError(
                "Boxes around what is not wanted need a text or a box that says what is wanted."
                if len(boxes)
                else "The text is empty; name what to find in a few words, such as 'scratch on steel'."
            )

    @property
    def needs(self) -> frozenset[PromptKind]:
        """The kinds of prompts that a model must take to find it."""
        return prompts_needed(self.text, self.boxes)


@dataclass(frozen=True, eq=False)
class Instances:
    """All that a segmenter found of a concept, the highest score first.

    Attributes
    ----------
    masks : (K, H, W) bool, in pixels of the original image; an array, or a stack that is drawn as far as it is needed.
    scores : (K,) float32, the model's confidence that a mask shows the concept, in [0, 1].
    """

    masks: BoolArray | MaskStack
    scores: FloatArray

    def crops(self) -> Sequence[Cropped]:
        """Return the masks inside their boxes."""
        stack = MaskStack.of(self.masks)
        return [stack.crop(index) for index in range(len(stack))]


class Finder(Segmenter, Protocol):
    """A segmenter whose entry has the prompts "text" or "exemplars"."""

    def find(self, embedding: Embedding, concept: Concept, *, least_score: float = LEAST_SCORE) -> Instances:
        """Find all instances of a concept whose score is at least `least_score`.

        Raises
        ------
        BadRequestError
            If the model does not take such a concept.
        """


def find_instances(
    segmenter: Segmenter, embedding: Embedding, concept: Concept, *, least_score: float = LEAST_SCORE
) -> Instances:
    """Find all instances of a concept by a segmenter that can.

    Raises
    ------
    BadRequestError
        If the model takes no texts or no exemplars; the message names the models that do.
    """
    require_prompts(segmenter.info, concept.needs)
    return cast(Finder, segmenter).find(embedding, concept, least_score=least_score)
