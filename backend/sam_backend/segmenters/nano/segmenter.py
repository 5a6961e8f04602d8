"""`nano` on onnxruntime; needs no PyTorch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam_backend.arrays import FloatArray, ImageArray
from sam_backend.segmenters.entries import NANO
from sam_backend.segmenters.onnx_sessions import open_session
from sam_backend.segmenters.pieces import clicked_pieces
from sam_backend.segmenters.protocol import POSITIVE, Candidates, DenseFeatures, Embedding, Prompt, require_logits_size

IMAGE_SIZE = 512
LOGITS_SIZE = 256
_PADDING = 127
_WIDTHS = (96, 24, 12)
"""Channels of the maps at stride 8, 4 and 2; the finer two are packed by space-to-depth."""

_BATCH = 16
"""Prompts decoded at once: more are not faster on a CPU and take more memory."""


class NanoSegmenter:
    """The embedded model.

    Parameters
    ----------
    folder : Path or None, the folder of `encoder.onnx` and `decoder.onnx`; None for the package's own.
    threads : int, threads of onnxruntime; 0 takes all cores.

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
        self._files = (folder / "encoder.onnx", folder / "decoder.onnx")
        self._encoder, self._decoder = (open_session(path, threads, "model", cure) for path in self._files)

    @cached_property
    def version(self) -> str:
        """`nano-` and eight hex digits of the SHA-256 of both files."""
        digest = hashlib.sha256()
        for path in self._files:
            digest.update(path.read_bytes())
        return f"{self.name}-{digest.hexdigest()[:8]}"

    def encode(self, image: ImageArray) -> Embedding:
        """Encode an image, uint8 RGB (H, W, 3); its long side is resized to 512 pixels, the rest padded."""
        height, width = image.shape[:2]
        scale = IMAGE_SIZE / max(height, width)
        rows, columns = (max(1, int(side * scale + 0.5)) for side in (height, width))
        resized = Image.fromarray(image).resize((columns, rows), Image.Resampling.BILINEAR)
        canvas = np.full((1, IMAGE_SIZE, IMAGE_SIZE, 3), _PADDING, np.uint8)
        canvas[0, :rows, :columns] = np.asarray(resized)
        (embedding,) = self._encoder.run(None, {"image": canvas})
        arrays = {"embedding": embedding, "input_size": np.array([rows, columns], np.int64)}
        return Embedding(arrays, (height, width))

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        """Answer each prompt; see `Segmenter.decode`.

        Masks for clicks without a box keep only the connected pieces that were clicked. The logits and the predicted
        IoU describe the whole answer.

        Raises
        ------
        BadRequestError
            If the logits of a prompt are not 256 x 256.
        """
        require_logits_size(prompts, self.name, (LOGITS_SIZE, LOGITS_SIZE))
        answers: list[Candidates | None] = [None] * len(prompts)
        # A padding point would change an answer, so only prompts of one form are decoded together.
        groups: dict[tuple[int, bool], list[int]] = {}
        for index, prompt in enumerate(prompts):
            groups.setdefault((len(prompt.points), prompt.box is not None), []).append(index)
        for members in groups.values():
            for start in range(0, len(members), _BATCH):
                batch = members[start : start + _BATCH]
                logits, predicted = self._run(embedding, [prompts[index] for index in batch])
                for row, index in enumerate(batch):
                    several = prompts[index].is_ambiguous if multimask is None else multimask
                    chosen = slice(1, 4) if several else slice(0, 1)
                    answers[index] = _candidates(embedding, prompts[index], logits[row, chosen], predicted[row, chosen])
        return [answer for answer in answers if answer is not None]

    def features(self, embedding: Embedding) -> DenseFeatures:
        """Return the features (128, 128, 144), at stride 4."""
        packed = np.asarray(embedding.arrays["embedding"], np.float32)[0]
        return DenseFeatures.of_square(_unpack(packed), embedding.arrays["input_size"], IMAGE_SIZE)

    def _run(self, embedding: Embedding, prompts: list[Prompt]) -> tuple[FloatArray, FloatArray]:
        height, width = embedding.size
        rows, columns = embedding.arrays["input_size"].tolist()
        scale = np.array([columns / width, rows / height], np.float32)
        coords, labels = zip(*(_labelled_points(prompt) for prompt in prompts), strict=True)
        has_logits = np.array([prompt.logits is not None for prompt in prompts], np.float32)
        logits = np.zeros((len(prompts), 1, LOGITS_SIZE, LOGITS_SIZE), np.float32)
        for row, prompt in enumerate(prompts):
            if prompt.logits is not None:
                logits[row, 0] = prompt.logits
        masks, predicted = self._decoder.run(
            None,
            {
                "embedding": embedding.arrays["embedding"],
                "coords": np.stack(coords) * scale,
                "labels": np.stack(labels),
                "logits": logits,
                "has_logits": has_logits,
            },
        )
        return masks, predicted


def _labelled_points(prompt: Prompt) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return a prompt's points and box corners (N, 2) with SAM's labels (N,)."""
    if prompt.box is None:
        end, end_labels = np.zeros((1, 2), np.float32), [-1]
    else:
        end, end_labels = prompt.box.reshape(2, 2), [2, 3]
    labels = np.concatenate([prompt.labels, np.array(end_labels, np.int64)])
    return np.concatenate([prompt.points, end]).astype(np.float32), labels


def _candidates(embedding: Embedding, prompt: Prompt, logits: FloatArray, predicted: FloatArray) -> Candidates:
    """Resize logits (K, 256, 256) to the original image as `SamPredictor` does, and threshold them at 0."""
    height, width = embedding.size
    rows, columns = embedding.arrays["input_size"].tolist()
    masks = np.empty((len(logits), height, width), np.bool_)
    for index, low in enumerate(logits):
        padded = cv2.resize(low, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_LINEAR)
        original = cv2.resize(padded[:rows, :columns], (width, height), interpolation=cv2.INTER_LINEAR)
        np.greater(original, 0, out=masks[index])
        if prompt.box is None:
            masks[index] = clicked_pieces(masks[index], prompt.points[prompt.labels == POSITIVE])
    return Candidates(masks, np.asarray(predicted, np.float32), np.asarray(logits, np.float32))


def _unpack(packed: FloatArray) -> FloatArray:
    """Return (128, 128, 144): all three maps at stride 4; of the finest, mean and spread of each four cells."""
    wide, fine, finest = _WIDTHS
    rows, columns = packed.shape[1:]
    size = (2 * columns, 2 * rows)
    base = cv2.resize(packed[:wide].transpose(1, 2, 0), size, interpolation=cv2.INTER_LINEAR)
    quarter = packed[wide : wide + 4 * fine].reshape(fine, 2, 2, rows, columns)
    quarter = quarter.transpose(3, 1, 4, 2, 0).reshape(2 * rows, 2 * columns, fine)
    half = packed[wide + 4 * fine :].reshape(finest, 2, 2, 2, 2, rows, columns)
    # Channels are (row, column) within a cell of stride 8; the first half of each says which cell of stride 4.
    half = half.transpose(5, 1, 6, 3, 0, 2, 4).reshape(2 * rows, 2 * columns, finest, 4)
    return np.concatenate([base, quarter, half.mean(3), half.std(3)], 2)
