"""`nano` on onnxruntime; needs no PyTorch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from sam_backend.arrays import FloatArray, ImageArray
from sam_backend.masks import mask_box
from sam_backend.samples import Cropped
from sam_backend.segmenters.drawn_masks import with_logits
from sam_backend.segmenters.enlarging import enlarged_mask
from sam_backend.segmenters.entries import NANO
from sam_backend.segmenters.mask_stack import MaskStack
from sam_backend.segmenters.onnx_sessions import ONE, device_of, open_session, thread_count
from sam_backend.segmenters.protocol import POSITIVE, Candidates, DenseFeatures, Embedding, Prompt

IMAGE_SIZE = 512
LOGITS_SIZE = 256
_PADDING = 127
_CELLS = IMAGE_SIZE // 8
_WIDTHS = (96, 24, 12)
"""Channels of the maps at stride 8, 4 and 2; the finer two are packed by space-to-depth."""

_SURELY_OUTSIDE = -2.0
"""Logits below which all pixels around are outside."""

_BATCH = 8
"""Prompts decoded at once by a thread: more are not faster on a CPU and take more memory."""


class NanoSegmenter:
    """The embedded model.

    Parameters
    ----------
    folder : Path or None, the folder of `encoder.onnx`, `decoder.onnx` and `outline.onnx`; None for the package's
        own.
    threads : int, threads that encode an image, or decode many prompts; 0 takes all cores.

    Raises
    ------
    WeightsError
        If a file is missing or is not an ONNX model.
    """

    info = NANO
    name = NANO.name

    def __init__(self, folder: Path | None = None, threads: int = 0) -> None:
        folder = folder or Path(__file__).parent
        is_ours = folder == Path(__file__).parent
        cure = "install sam-inspect again" if is_ours else "give the folder of a version that sam-inspect finetune made"
        self._files = tuple(folder / name for name in ("encoder.onnx", "decoder.onnx", "outline.onnx"))
        if not is_ours and [path.exists() for path in self._files] == [True, True, False]:
            cure = "an earlier version of SAM Inspect made this folder; fine-tune again"
        self._encoder, self._decoder, self._outline = (
            open_session(path, wanted, "model", cure)
            for path, wanted in zip(self._files, (threads, ONE, ONE), strict=True)
        )
        self._pool = ThreadPoolExecutor(thread_count(threads), "decode")

    @cached_property
    def version(self) -> str:
        """`nano-` and eight hex digits of the SHA-256 of the files."""
        digest = hashlib.sha256()
        for path in self._files:
            digest.update(path.read_bytes())
        return f"{self.name}-{digest.hexdigest()[:8]}"

    @property
    def device(self) -> str:
        """The execution provider of onnxruntime, for example `cuda`."""
        return device_of(self._encoder)

    def encode(self, image: ImageArray) -> Embedding:
        """Encode an image, uint8 RGB (H, W, 3); its long side is resized to 512 pixels, the rest padded."""
        height, width = image.shape[:2]
        scale = IMAGE_SIZE / max(height, width)
        rows, columns = (max(1, int(side * scale + 0.5)) for side in (height, width))
        resized = Image.fromarray(image).resize((columns, rows), Image.Resampling.BILINEAR)
        canvas = np.full((1, IMAGE_SIZE, IMAGE_SIZE, 3), _PADDING, np.uint8)
        canvas[0, :rows, :columns] = np.asarray(resized)
        (packed,) = self._encoder.run(None, {"image": canvas})
        base, fine, finest = _unpacked(packed[0])
        input_size = np.array([rows, columns], np.int64)
        return Embedding({"base": base, "fine": fine, "finest": finest, "input_size": input_size}, (height, width))

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        """Answer each prompt; see `Segmenter.decode`.

        Masks for clicks without a box keep only the connected pieces that were clicked. The logits and the predicted
        IoU describe the whole answer. The logits of one of several masks have half the resolution, as have those far
        outside a single mask.

        Raises
        ------
        BadRequestError
            If the logits of a prompt are not 256 x 256.
        """
        prompts = with_logits(prompts, self.name, embedding, (LOGITS_SIZE, LOGITS_SIZE))
        answers: list[Candidates | None] = [None] * len(prompts)
        # A padding point would change an answer, so only prompts of one form are decoded together.
        groups: dict[tuple[int, bool, bool], list[int]] = {}
        for index, prompt in enumerate(prompts):
            form = len(prompt.points), prompt.box is not None, prompt.logits is not None
            groups.setdefault(form, []).append(index)
        batches = [
            members[start : start + _BATCH] for members in groups.values() for start in range(0, len(members), _BATCH)
        ]
        run = self._pool.map if len(batches) > 1 else map
        decoded = run(lambda batch: self._run(embedding, [prompts[index] for index in batch]), batches)
        for batch, (low, predicted, maps, weights) in zip(batches, decoded, strict=True):
            for row, index in enumerate(batch):
                several = prompts[index].is_ambiguous if multimask is None else multimask
                chosen = slice(1, 4) if several else slice(0, 1)
                drawing = _Drawing(self._outline, low[row, chosen], maps[row], weights[row, chosen])
                answers[index] = _candidates(embedding, prompts[index], drawing, predicted[row, chosen])
        return [answer for answer in answers if answer is not None]

    def features(self, embedding: Embedding) -> DenseFeatures:
        """Return the features (128, 128, 144), at stride 4: of the finest map, mean and spread of each four cells."""
        base, fine, finest = (np.asarray(embedding.arrays[name], np.float32) for name in ("base", "fine", "finest"))
        cells, side, (wide, narrow, narrowest) = _CELLS, 2 * _CELLS, _WIDTHS
        coarse = cv2.resize(base.reshape(cells, cells, wide), (side, side), interpolation=cv2.INTER_LINEAR)
        quarter = fine.reshape(side, side, narrow)
        # The mean of the four in the order of before, to the last bit.
        half = np.ascontiguousarray(finest.reshape(side, side, 4, narrowest).transpose(0, 1, 3, 2))
        values = np.concatenate([coarse, quarter, half.mean(3), half.std(3)], 2)
        return DenseFeatures.of_square(values, embedding.arrays["input_size"], IMAGE_SIZE)

    def _run(self, embedding: Embedding, prompts: list[Prompt]) -> list[FloatArray]:
        """Return logits at every second cell, predicted IoU, maps and weights: the outputs of the decoder."""
        height, width = embedding.size
        rows, columns = embedding.arrays["input_size"].tolist()
        scale = np.array([columns / width, rows / height], np.float32)
        coords, labels = zip(*(_labelled_points(prompt) for prompt in prompts), strict=True)
        logits = np.zeros((len(prompts), 1, LOGITS_SIZE, LOGITS_SIZE), np.float32)
        for row, prompt in enumerate(prompts):
            if prompt.logits is not None:
                logits[row, 0] = prompt.logits
        outputs: list[FloatArray] = self._decoder.run(
            None,
            {
                **{name: embedding.arrays[name][None] for name in ("base", "fine", "finest")},
                "coords": np.stack(coords) * scale,
                "labels": np.stack(labels),
                "logits": logits,
                "has_logits": np.array([prompt.logits is not None for prompt in prompts], np.float32),
            },
        )
        return outputs


@dataclass(frozen=True, eq=False)
class _Drawing:
    """What the logits of a prompt's masks are computed from.

    Attributes
    ----------
    outline : session that computes logits at every cell.
    low : (K, 128, 128), the logits at every second cell.
    maps : (128 * 128, 48), the finest maps; a row holds four cells.
    weights : (K, 12), those of the maps.
    """

    outline: onnxruntime.InferenceSession
    low: FloatArray
    maps: FloatArray
    weights: FloatArray

    def logits(self) -> FloatArray:
        """Return all logits (K, 256, 256), interpolated between those that are known."""
        full = np.empty((len(self.low), LOGITS_SIZE, LOGITS_SIZE), np.float32)
        full[:, ::2, ::2] = self.low
        full[:, ::2, 1:-1:2] = (self.low[:, :, :-1] + self.low[:, :, 1:]) / 2
        full[:, ::2, -1] = self.low[:, :, -1]
        full[:, 1:-1:2] = (full[:, :-2:2] + full[:, 2::2]) / 2
        full[:, -1] = full[:, -2]
        return full

    def inside(self, index: int) -> tuple[FloatArray, tuple[int, int]]:
        """Return the exact logits around a mask, and the row and column of the first of them."""
        box = mask_box(self.low[index] > _SURELY_OUTSIDE)
        if box is None:
            return np.zeros((0, 0), np.float32), (0, 0)
        left, top, right, bottom = max(0, box[0] - 1), max(0, box[1] - 1), box[2] + 1, box[3] + 1
        # The pixels beside those at the edges matter to these.
        before, above = max(0, left - 1), max(0, top - 1)
        side = 2 * _CELLS
        maps = self.maps.reshape(side, side, -1)[above : bottom + 1, before : right + 1]
        (logits,) = self.outline.run(None, {"maps": maps, "weights": self.weights[index]})
        rows, columns = 2 * (min(bottom, side) - above), 2 * (min(right, side) - before)
        return logits[2 * (top - above) : rows, 2 * (left - before) : columns], (2 * top, 2 * left)


def _labelled_points(prompt: Prompt) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return a prompt's points and box corners (N, 2) with SAM's labels (N,)."""
    if prompt.box is None:
        end, end_labels = np.zeros((1, 2), np.float32), [-1]
    else:
        end, end_labels = prompt.box.reshape(2, 2), [2, 3]
    labels = np.concatenate([prompt.labels, np.array(end_labels, np.int64)])
    return np.concatenate([prompt.points, end]).astype(np.float32), labels


def _candidates(embedding: Embedding, prompt: Prompt, drawing: _Drawing, predicted: FloatArray) -> Candidates:
    """Return the answer to a prompt; a single mask is drawn at once, several are as far as they are needed."""
    rows, columns = embedding.arrays["input_size"].tolist()
    points = prompt.points[prompt.labels == POSITIVE] if prompt.box is None else prompt.points[:0]
    logits = drawing.logits()
    single = drawing.inside(0) if len(logits) == 1 else None
    if single is not None:
        exact, (top, left) = single
        logits[0, top : top + exact.shape[0], left : left + exact.shape[1]] = exact

    def draw(index: int) -> Cropped:
        low, (top, left) = single or drawing.inside(index)
        if low.size:
            low = cv2.resize(low, (2 * low.shape[1], 2 * low.shape[0]), interpolation=cv2.INTER_LINEAR)
        low = low[: max(0, rows - 2 * top), : max(0, columns - 2 * left)]
        return enlarged_mask(low, (2 * top, 2 * left), (rows, columns), embedding.size, points)

    masks = MaskStack(len(logits), embedding.size, draw)
    return Candidates(masks, np.asarray(predicted, np.float32), logits)


def _unpacked(packed: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the three maps of an encoder's output (384, 64, 64).

    Returns
    -------
    tuple
        The coarse map (64 * 64, 96); the fine one (128 * 128, 24); the finest one (128 * 128, 48), where a row holds
        the four cells of one of the fine map.
    """
    wide, fine, finest = _WIDTHS
    rows, columns = packed.shape[1:]
    base = packed[:wide].reshape(wide, -1).T
    quarter = packed[wide : wide + 4 * fine].reshape(fine, 2, 2, rows, columns)
    quarter = quarter.transpose(3, 1, 4, 2, 0).reshape(-1, fine)
    half = packed[wide + 4 * fine :].reshape(finest, 2, 2, 2, 2, rows, columns)
    # Channels are (row, column) within a cell of stride 8; the first half of each says which cell of stride 4.
    half = half.transpose(5, 1, 6, 3, 2, 4, 0).reshape(-1, 4 * finest)
    return np.ascontiguousarray(base), quarter, half
