"""Official Segment Anything checkpoints, and any module of SAM's interface, through the package `segment-anything`."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import Sam

from sam_backend.arrays import ImageArray
from sam_backend.errors import WeightsError
from sam_backend.segmenters.model_info import ModelInfo
from sam_backend.segmenters.protocol import Candidates, DenseFeatures, Embedding, Prompt, require_logits_size

_BATCH_BYTES = 1 << 29
"""Bytes of full-size logits that one pass of the mask decoder may produce."""

_BROKEN = (pickle.UnpicklingError, SafetensorError)

# (number of points, has a box, has logits, multimask): prompts that agree in all of these are decoded in one pass.
_Shape = tuple[int, bool, bool, bool]


class SamSegmenter:
    """A `Segmenter` around a torch `Sam`.

    The official `SamPredictor` does the work, a new one for each call, so that threads share only the weights.
    Prompts with different numbers of points are decoded in separate passes and never padded: the mask decoder sees
    padding points as tokens, and more of them than the predictor adds itself change its answer.

    Parameters
    ----------
    model : torch module with the interface of `segment_anything.modeling.Sam`; it is put into evaluation mode.
    info : ModelInfo, its entry.
    version : str, the name and a hash of the weights.
    device : str or None, a torch device; None takes a CUDA GPU if there is one.
    """

    def __init__(self, model: Sam, info: ModelInfo, *, version: str, device: str | None = None) -> None:
        self.info = info
        self.name = info.name
        self.version = version
        self._model = model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()

    @classmethod
    def from_checkpoint(
        cls, info: ModelInfo, path: Path, device: str | None = None, tuned: Path | None = None
    ) -> SamSegmenter:
        """Load an official model from a file whose SHA-256 has been checked.

        Parameters
        ----------
        info : ModelInfo, the official model's entry.
        path : Path, the official checkpoint.
        device : str or None, a torch device; None takes a CUDA GPU if there is one.
        tuned : Path or None, the file of the weights that a fine-tuning changed.

        Raises
        ------
        WeightsError
            If a file holds no weights, or those of another model.
        """
        name, published = info.name, info.files[0]
        model = sam_model_registry[name.removeprefix("sam:")]()
        try:
            model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError, TypeError) as error:
            raise WeightsError(
                f"{path} does not hold the weights of {name}: expected a file like {published.filename}, "
                f"as `sam-inspect download {name}` brings it."
            ) from error
        digest = published.sha256
        if tuned is not None:
            try:
                unknown = model.load_state_dict(read_tuned(tuned), strict=False)
                with tuned.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            except (OSError, RuntimeError, EOFError, AttributeError, TypeError, *_BROKEN) as error:
                raise WeightsError(f"{tuned} does not hold weights tuned from {name}; fine-tune again.") from error
            if unknown.unexpected_keys:
                raise WeightsError(f"{tuned} is tuned from another model than {name}; fine-tune again.")
        return cls(model, info, version=f"{name}-{digest[:8]}", device=device)

    @property
    def device(self) -> str:
        """The torch device, for example `cuda:0`."""
        return str(self._model.device)

    def encode(self, image: ImageArray) -> Embedding:
        """Encode an image: uint8 RGB (H, W, 3).

        Returns
        -------
        Embedding
            `features` (C, h, w) float32, the image encoder's output, and `input_size` (2,) int64, height and width in
            pixels of the image as the encoder saw it, before its padding to a square.
        """
        predictor = SamPredictor(self._model)
        predictor.set_image(image)
        features = predictor.features[0].float().cpu().numpy()
        arrays = {"features": features, "input_size": np.array(predictor.input_size, np.int64)}
        return Embedding(arrays, (image.shape[0], image.shape[1]))

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        """Answer each prompt, in as few passes of the mask decoder as shapes and memory allow.

        Raises
        ------
        BadRequestError
            If the logits of a prompt do not have this model's size.
        """
        require_logits_size(prompts, self.name, tuple(self._model.prompt_encoder.mask_input_size))
        groups: dict[_Shape, list[int]] = {}
        for index, prompt in enumerate(prompts):
            several = prompt.is_ambiguous if multimask is None else multimask
            groups.setdefault((*_shape(prompt), several), []).append(index)
        predictor = self._predictor(embedding)
        answers: dict[int, Candidates] = {}
        for (*_, several), indices in groups.items():
            step = self._at_once(embedding.size, several)
            for chunk in (indices[start : start + step] for start in range(0, len(indices), step)):
                answers |= zip(chunk, _predict(predictor, [prompts[i] for i in chunk], several), strict=True)
        return [answers[index] for index in range(len(prompts))]

    def features(self, embedding: Embedding) -> DenseFeatures:
        """Return the image encoder's output (64, 64, 256)."""
        values = np.asarray(embedding.arrays["features"], np.float32).transpose(1, 2, 0)
        return DenseFeatures.of_square(values, embedding.arrays["input_size"], self._model.image_encoder.img_size)

    def _predictor(self, embedding: Embedding) -> SamPredictor:
        """Return a predictor in the state after `set_image`."""
        predictor = SamPredictor(self._model)
        predictor.features = torch.as_tensor(embedding.arrays["features"], device=predictor.device)[None]
        predictor.input_size = tuple(embedding.arrays["input_size"].tolist())
        predictor.original_size = embedding.size
        predictor.is_image_set = True
        return predictor

    def _at_once(self, size: tuple[int, int], several: bool) -> int:
        """Return the number of prompts for one pass: each mask is first enlarged to the encoder's square."""
        pixels: int = self._model.image_encoder.img_size**2 + size[0] * size[1]
        return max(_BATCH_BYTES // (4 * pixels * (3 if several else 1)), 1)


def read_tuned(path: Path) -> dict[str, torch.Tensor]:
    """Return tuned weights by name, on the CPU.

    Parameters
    ----------
    path : Path, a safetensors file, or a file of `torch.save` with the suffix `.pt`, as earlier versions wrote it.

    Raises
    ------
    OSError, pickle.UnpicklingError, safetensors.SafetensorError
        If the file is missing or holds no weights.
    """
    if path.suffix == ".pt":
        weights: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return weights
    tensors: dict[str, torch.Tensor] = load_file(path)
    return tensors


def _shape(prompt: Prompt) -> tuple[int, bool, bool]:
    return len(prompt.points), prompt.box is not None, prompt.logits is not None


def _predict(predictor: SamPredictor, prompts: list[Prompt], several: bool) -> list[Candidates]:
    """Decode prompts (B) of one shape in one pass."""
    first = prompts[0]
    points = labels = boxes = logits = None
    if len(first.points):
        stacked = np.stack([prompt.points for prompt in prompts])
        points = _tensor(predictor, predictor.transform.apply_coords(stacked, predictor.original_size))
        labels = _tensor(predictor, np.stack([prompt.labels for prompt in prompts]))
    if first.box is not None:
        stacked = np.stack([np.asarray(prompt.box) for prompt in prompts])
        boxes = _tensor(predictor, predictor.transform.apply_boxes(stacked, predictor.original_size))
    if first.logits is not None:
        logits = _tensor(predictor, np.stack([np.asarray(prompt.logits) for prompt in prompts]))[:, None]
    answer = predictor.predict_torch(points, labels, boxes, logits, multimask_output=several)
    masks, predicted_iou, low = (tensor.cpu().numpy() for tensor in answer)
    return [Candidates(*each) for each in zip(masks, predicted_iou, low, strict=True)]


def _tensor(predictor: SamPredictor, array: NDArray[np.generic]) -> torch.Tensor:
    return torch.as_tensor(array, dtype=torch.float32, device=predictor.device)
