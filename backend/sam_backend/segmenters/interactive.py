"""The interactive models of the package `transformers`: SAM, SlimSAM, SAM-HQ, SAM 2.1, EdgeTAM and SAM 3's tracker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from sam_backend.arrays import FloatArray, ImageArray
from sam_backend.errors import BadRequestError
from sam_backend.samples import Cropped
from sam_backend.segmenters.drawn_masks import with_logits
from sam_backend.segmenters.mask_stack import MaskStack
from sam_backend.segmenters.model_info import ModelInfo
from sam_backend.segmenters.protocol import Candidates, DenseFeatures, Embedding, Prompt
from sam_backend.segmenters.torch_place import TorchPlace, on_its_place

_BATCH = 16
"""Prompts decoded in one pass; a mask is drawn when it is asked for."""

# (number of points, has a box, number of a prompt with logits, multimask): what agrees in all is decoded in one pass.
_Shape = tuple[int, bool, int | None, bool]


class InteractiveSegmenter:
    """A `Segmenter` around a model that was trained on images stretched to a square, as SAM 2 and later ones.

    Prompts with different numbers of points are decoded in separate passes and never padded, as in `SamSegmenter`. A
    prompt with logits has a pass of its own, since these models take one mask an image.

    Parameters
    ----------
    model : module of `transformers` with `get_image_embeddings` and SAM's prompts; it is put into evaluation mode.
    images : its image processor.
    info : ModelInfo, its entry.
    version : str, the name and a hash of the weights.
    device : str or None, a torch device; None takes a CUDA GPU if there is one.

    Attributes
    ----------
    place : TorchPlace, where it computes.
    """

    def __init__(self, model: Any, images: Any, info: ModelInfo, *, version: str, device: str | None = None) -> None:
        self.info = info
        self.name = info.name
        self.version = version
        self.place = TorchPlace(info.name, device)
        self._model = self.place.put(model)
        self._images = images

    @property
    def device(self) -> str:
        """The torch device, for example `cuda`."""
        return self.place.device

    @on_its_place
    def encode(self, image: ImageArray) -> Embedding:
        """Encode an image: uint8 RGB (H, W, 3).

        Returns
        -------
        Embedding
            `features0`, `features1`, ... each (C, h, w) float32, what the mask decoder takes, and `input_size` (2,)
            int64, height and width in pixels of the image as the encoder saw it, without padding.

        Raises
        ------
        BadRequestError
            If the image is so narrow that nothing of it would be left.
        """
        try:
            inputs = self._images(images=image, input_data_format="channels_last", return_tensors="pt")
        except ValueError as error:
            raise BadRequestError(
                f"{self.name} cannot take an image of {image.shape[1]} x {image.shape[0]} pixels, which is too narrow: "
                "nothing of it is left when its longer side is shrunk to what the model sees."
            ) from error
        with torch.inference_mode():
            seen = self._arrays(inputs["pixel_values"].to(self.device))
        arrays: dict[str, Any] = {name: value[0].float().cpu().numpy() for name, value in seen.items()}
        arrays["input_size"] = np.array(self._input_size(inputs), np.int64)
        return Embedding(arrays, (image.shape[0], image.shape[1]))

    @on_its_place
    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        """Answer each prompt, in as few passes of the mask decoder as shapes and memory allow.

        Raises
        ------
        BadRequestError
            If the logits of a prompt do not have this model's size.
        """
        prompts = with_logits(prompts, self.name, embedding, self._logits_size(embedding))
        groups: dict[_Shape, list[int]] = {}
        for index, prompt in enumerate(prompts):
            several = prompt.is_ambiguous if multimask is None else multimask
            alone = None if prompt.logits is None else index
            groups.setdefault((len(prompt.points), prompt.box is not None, alone, several), []).append(index)
        with torch.inference_mode():
            given = self._given([self._tensor(value) for value in _maps(embedding)])
            answers: dict[int, Candidates] = {}
            for (*_, several), indices in groups.items():
                for chunk in (indices[start : start + _BATCH] for start in range(0, len(indices), _BATCH)):
                    made = self._answer(embedding, [prompts[index] for index in chunk], given, several)
                    answers |= zip(chunk, made, strict=True)
        return [answers[index] for index in range(len(prompts))]

    def features(self, embedding: Embedding) -> DenseFeatures:
        """Return the image encoder's coarsest map, (n, n, C), with the image's own aspect ratio."""
        values = torch.from_numpy(np.asarray(_maps(embedding)[-1], np.float32))
        side, longer = values.shape[-1], max(embedding.size)
        rows, columns = (max(round(side * length / longer), 1) for length in embedding.size)
        placed = interpolate(values[None], (rows, columns), mode="area")[0]
        square = pad(placed, (0, side - columns, 0, side - rows)).permute(1, 2, 0)
        return DenseFeatures(np.ascontiguousarray(square.numpy()), (rows, columns))

    def _answer(
        self, embedding: Embedding, prompts: Sequence[Prompt], given: dict[str, Any], several: bool
    ) -> list[Candidates]:
        """Decode prompts (P) of one shape in one pass."""
        first, scale = prompts[0], self._scale(embedding)
        inputs = dict(given)
        if len(first.points):
            inputs["input_points"] = self._tensor(np.stack([prompt.points for prompt in prompts]) * scale)[None]
            inputs["input_labels"] = torch.as_tensor(np.stack([p.labels for p in prompts]), device=self.device)[None]
        if first.box is not None:
            boxes = np.stack([np.asarray(prompt.box) for prompt in prompts])
            inputs["input_boxes"] = self._tensor(boxes * np.tile(scale, 2))[None]
        if first.logits is not None:
            inputs["input_masks"] = self._tensor(np.asarray(first.logits))[None, None]
        answer = self._model(**inputs, multimask_output=several)
        logits = answer.pred_masks[0].float().cpu()
        scores = answer.iou_scores[0].float().cpu().numpy()
        return [self._candidates(embedding, *each) for each in zip(logits, scores, strict=True)]

    def _candidates(self, embedding: Embedding, logits: Tensor, scores: FloatArray) -> Candidates:
        """Return the answer of logits (K, h, w)."""

        def draw(index: int) -> Cropped:
            return Cropped.of(self._enlarged(logits[index][None, None], embedding)[0, 0].numpy())

        return Candidates(MaskStack(len(logits), embedding.size, draw), scores, logits.numpy())

    def _arrays(self, pixels: Tensor) -> dict[str, Tensor]:
        """Return what an embedding keeps of an image, each with a first axis of length 1."""
        return {f"features{level}": value for level, value in enumerate(self._encode(pixels))}

    def _encode(self, pixels: Tensor) -> list[Tensor]:
        """Return what the mask decoder takes of an image, each (1, C, h, w), the finest map first."""
        maps: list[Tensor] = self._model.get_image_embeddings(pixels)
        return maps

    def _given(self, maps: list[Tensor]) -> dict[str, Any]:
        """Return the maps (C, h, w) as arguments of the model."""
        return {"image_embeddings": [value[None] for value in maps]}

    def _input_size(self, inputs: Any) -> Sequence[int]:
        return list(inputs["pixel_values"].shape[-2:])

    def _logits_size(self, embedding: Embedding) -> tuple[int, int]:
        """Return the shape of the logits that a prompt may hold: four cells for each of the coarsest map."""
        rows, columns = np.asarray(_maps(embedding)[-1]).shape[-2:]
        return 4 * rows, 4 * columns

    def _scale(self, embedding: Embedding) -> FloatArray:
        """Return (2,), the encoder's pixels for a pixel of the image, in x and y."""
        return np.asarray(embedding.arrays["input_size"][::-1] / np.array(embedding.size[::-1]), np.float32)

    def _enlarged(self, logits: Tensor, embedding: Embedding) -> Tensor:
        """Return masks bool (1, 1, H, W) of logits (1, 1, h, w)."""
        masks: Tensor = self._images.post_process_masks([logits], [embedding.size])[0]
        return masks

    def _tensor(self, array: Any) -> Tensor:
        return torch.as_tensor(np.asarray(array, np.float32), device=self.device)


class PaddedSegmenter(InteractiveSegmenter):
    """A model that was trained on images whose longer side fills the square and whose rest is padding: SAM, SlimSAM."""

    def features(self, embedding: Embedding) -> DenseFeatures:
        """Return the image encoder's output (n, n, C)."""
        values = np.asarray(_maps(embedding)[-1], np.float32).transpose(1, 2, 0)
        return DenseFeatures.of_square(
            values, embedding.arrays["input_size"], self._model.config.vision_config.image_size
        )

    def _encode(self, pixels: Tensor) -> list[Tensor]:
        return [self._model.get_image_embeddings(pixels)]

    def _given(self, maps: list[Tensor]) -> dict[str, Any]:
        return {"image_embeddings": maps[-1][None]}

    def _input_size(self, inputs: Any) -> Sequence[int]:
        return [int(length) for length in inputs["reshaped_input_sizes"][0]]

    def _enlarged(self, logits: Tensor, embedding: Embedding) -> Tensor:
        seen = embedding.arrays["input_size"].tolist()
        masks: Tensor = self._images.post_process_masks([logits], [embedding.size], [seen])[0]
        return masks


class HighQualitySegmenter(PaddedSegmenter):
    """SAM-HQ, whose mask decoder also sees an early map of the image encoder."""

    def _encode(self, pixels: Tensor) -> list[Tensor]:
        features, intermediate = self._model.get_image_embeddings(pixels)
        return [intermediate[0], features]

    def _given(self, maps: list[Tensor]) -> dict[str, Any]:
        return super()._given(maps) | {"intermediate_embeddings": [maps[0][None]]}


def _maps(embedding: Embedding) -> list[Any]:
    """Return the maps of an embedding in their order; other arrays may lie beside them."""
    count = sum(name.startswith("features") and name[8:].isdigit() for name in embedding.arrays)
    return [embedding.arrays[f"features{level}"] for level in range(count)]
