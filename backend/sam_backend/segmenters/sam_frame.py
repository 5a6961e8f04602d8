"""What all forms of an official SAM share: an image in the encoder's square, prompts in its pixels, logits as masks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam_backend.arrays import FloatArray, ImageArray
from sam_backend.masks import mask_box
from sam_backend.samples import Cropped
from sam_backend.segmenters.drawn_masks import with_logits
from sam_backend.segmenters.enlarging import enlarged_mask
from sam_backend.segmenters.mask_stack import MaskStack
from sam_backend.segmenters.model_info import ModelInfo
from sam_backend.segmenters.protocol import Candidates, DenseFeatures, Embedding, Prompt

_BATCH = 16
"""Prompts decoded in one pass: each takes about 40 MB."""


class SamFrame(ABC):
    """A `Segmenter` that treats images, prompts and masks as `segment_anything.SamPredictor` does.

    A subclass computes features and logits. Prompts with different numbers of points are decoded in separate passes and
    never padded: the mask decoder sees padding points as tokens, and more of them than the predictor adds itself change
    its answer.

    Parameters
    ----------
    info : ModelInfo, its entry.
    version : str, the name and a hash of the weights.
    side : int, side in pixels of the square that the encoder takes.
    """

    _maps: tuple[str, ...] = ("features",)
    """The arrays of an embedding that the decoder takes, each (C, h, w)."""

    _pads = True
    """Whether points without a box get SAM's padding point here; otherwise the decoder adds it."""

    def __init__(self, info: ModelInfo, version: str, side: int) -> None:
        self.info = info
        self.name = info.name
        self.version = version
        self._side = side

    def encode(self, image: ImageArray) -> Embedding:
        """Encode an image: uint8 RGB (H, W, 3).

        Returns
        -------
        Embedding
            `features` (C, h, w) float32, the image encoder's output, and `input_size` (2,) int64, height and width in
            pixels of the image as the encoder saw it, before its padding to a square.
        """
        height, width = image.shape[:2]
        scale = self._side / max(height, width)
        rows, columns = (max(1, int(length * scale + 0.5)) for length in (height, width))
        resized = np.asarray(Image.fromarray(image).resize((columns, rows), Image.Resampling.BILINEAR))
        input_size = np.array([rows, columns], np.int64)
        return Embedding({"features": self._encoded(resized), "input_size": input_size}, (height, width))

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        """Answer each prompt, in as few passes of the mask decoder as shapes and memory allow.

        Raises
        ------
        BadRequestError
            If the logits of a prompt do not have this model's size.
        """
        maps = {name: np.asarray(embedding.arrays[name], np.float32) for name in self._maps}
        _, rows, columns = maps["features"].shape
        prompts = with_logits(prompts, self.name, embedding, (4 * rows, 4 * columns))
        groups: dict[tuple[int, bool, bool], list[int]] = {}
        for index, prompt in enumerate(prompts):
            shape = len(prompt.points), prompt.box is not None, prompt.logits is not None
            groups.setdefault(shape, []).append(index)
        answers: dict[int, Candidates] = {}
        for members in groups.values():
            for start in range(0, len(members), _BATCH):
                chunk = members[start : start + _BATCH]
                stacked = _stacked(embedding, [prompts[i] for i in chunk], self._pads)
                logits, predicted_iou = self._answered(maps, *stacked)
                for row, index in enumerate(chunk):
                    several = prompts[index].is_ambiguous if multimask is None else multimask
                    chosen = _chosen(predicted_iou[row], several)
                    answers[index] = self._candidates(embedding, logits[row, chosen], predicted_iou[row, chosen])
        return [answers[index] for index in range(len(prompts))]

    def features(self, embedding: Embedding) -> DenseFeatures:
        """Return the image encoder's output (64, 64, 256)."""
        values = np.asarray(embedding.arrays["features"], np.float32).transpose(1, 2, 0)
        return DenseFeatures.of_square(values, embedding.arrays["input_size"], self._side)

    @abstractmethod
    def _encoded(self, image: ImageArray) -> FloatArray:
        """Return features (C, h, w) of an image whose longer side fills the encoder's square."""

    @abstractmethod
    def _answered(
        self, maps: Mapping[str, FloatArray], coords: FloatArray, labels: NDArray[np.int64], logits: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        """Return logits (B, K, 4h, 4w) and predicted IoU (B, K) on the maps of one image.

        K is 4, the single mask first, as `SamDecoder.forward` gives them, or what a decoder without a single mask has.
        """

    def _candidates(self, embedding: Embedding, logits: FloatArray, predicted_iou: FloatArray) -> Candidates:
        """Return the answer of logits (K, h, w); a mask is drawn when it is asked for, inside its box."""
        shown, cell = embedding.arrays["input_size"].tolist(), self._side // logits.shape[2]

        def draw(index: int) -> Cropped:
            box = mask_box(logits[index] > 0) or (0, 0, 0, 0)
            # What is enlarged begins and ends with negative logits, or at the edge.
            left, top = (max(0, edge - 2) for edge in box[:2])
            part = logits[index, top : box[3] + 2, left : box[2] + 2]
            size = cell * part.shape[1], cell * part.shape[0]
            square = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
            square = square[: max(0, shown[0] - cell * top), : max(0, shown[1] - cell * left)]
            return enlarged_mask(square, (cell * top, cell * left), shown, embedding.size, np.zeros((0, 2), np.float32))

        return Candidates(MaskStack(len(logits), embedding.size, draw), predicted_iou, logits)


def _chosen(predicted_iou: FloatArray, several: bool) -> slice:
    """Return which of a prompt's masks answer it; without a single mask of its own, the best of all stands for one."""
    if len(predicted_iou) == 4:
        return slice(1, None) if several else slice(0, 1)
    best = int(np.argmax(predicted_iou))
    return slice(None) if several else slice(best, best + 1)


def _stacked(
    embedding: Embedding, prompts: list[Prompt], pads: bool
) -> tuple[FloatArray, NDArray[np.int64], FloatArray | None]:
    """Return points and corners of boxes (B, N, 2) in the encoder's pixels, their labels, and logits (B, 1, 4h, 4w)."""
    scale = embedding.arrays["input_size"][::-1] / np.array(embedding.size[::-1], np.float64)
    first = prompts[0]
    coords = [np.stack([prompt.points for prompt in prompts])]
    labels = [np.stack([prompt.labels for prompt in prompts])]
    if first.box is not None:
        coords.append(np.stack([np.asarray(prompt.box).reshape(2, 2) for prompt in prompts]))
        labels.append(np.tile([2, 3], (len(prompts), 1)))
    elif len(first.points) and pads:
        coords.append(np.zeros((len(prompts), 1, 2), np.float32))
        labels.append(np.full((len(prompts), 1), -1))
    logits = None if first.logits is None else np.stack([np.asarray(p.logits, np.float32) for p in prompts])[:, None]
    scaled: FloatArray = (np.concatenate(coords, 1) * scale).astype(np.float32)
    return scaled, np.concatenate(labels, 1), logits
