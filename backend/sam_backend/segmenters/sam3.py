"""SAM 3: its tracker answers clicks and boxes, its detector finds all that a text or exemplar boxes mean."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import torch
from cachetools import LRUCache, cachedmethod
from torch import Tensor
from torch.nn.functional import interpolate
from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

from sam_backend.arrays import FloatArray
from sam_backend.errors import BadRequestError
from sam_backend.samples import Cropped
from sam_backend.segmenters.concepts import LEAST_SCORE, Concept, Instances
from sam_backend.segmenters.interactive import InteractiveSegmenter
from sam_backend.segmenters.mask_stack import MaskStack
from sam_backend.segmenters.model_info import ModelInfo
from sam_backend.segmenters.protocol import Embedding
from sam_backend.segmenters.torch_place import on_its_place

_TOKENS = 32
"""Length of a text in tokens, with its two ends, as SAM 3 was trained."""

_WITHOUT_TEXT = "visual"
"""The text that stands for none where exemplars alone say what is meant, as in the package's processor."""

_TEXTS = 256
"""Texts whose encoding is kept; that of one has about 0.2 MB."""


class Sam3Segmenter(InteractiveSegmenter):
    """SAM 3. The embedding also holds `tokens` (n, C) float32, the output of the backbone that both parts share.

    Parameters
    ----------
    model : Sam3TrackerModel.
    images : its image processor.
    info : ModelInfo, its entry.
    version : str, the name and a hash of the weights.
    detector : Sam3Model, whose backbone the tracker uses too, so that its weights are in memory once.
    tokenizer : CLIPTokenizer of the detector's text encoder.
    device : str or None, a torch device; None takes a CUDA GPU if there is one.
    """

    def __init__(
        self,
        model: Any,
        images: Any,
        info: ModelInfo,
        *,
        version: str,
        detector: Any,
        tokenizer: Any,
        device: str | None = None,
    ) -> None:
        model.vision_encoder.backbone = detector.vision_encoder.backbone
        super().__init__(model, images, info, version=version, device=device)
        self._detector = self.place.put(detector)
        self._tokenizer = tokenizer
        self._texts: LRUCache[tuple[str, str], tuple[Any, Tensor]] = LRUCache(_TEXTS)
        self._lock = threading.Lock()

    @on_its_place
    def find(self, embedding: Embedding, concept: Concept, *, least_score: float = LEAST_SCORE) -> Instances:
        """Find all instances of a concept; see `Finder.find`.

        Raises
        ------
        BadRequestError
            If the text has more tokens than the text encoder takes.
        """
        with torch.inference_mode():
            text, mask = self._text(concept.text or _WITHOUT_TEXT)
            boxes: dict[str, Tensor] = {}
            if len(concept.boxes):
                boxes["input_boxes"] = self._tensor(_centred(concept.boxes, embedding.size))[None]
                boxes["input_boxes_labels"] = torch.as_tensor(concept.labels, device=self.device)[None]
            answer = self._detector(vision_embeds=self._seen(embedding), text_embeds=text, attention_mask=mask, **boxes)
            scores = (answer.pred_logits.sigmoid() * answer.presence_logits.sigmoid())[0].float().cpu().numpy()
            order = np.argsort(-scores, kind="stable")
            order = order[scores[order] > least_score]
            shares = answer.pred_masks[0].sigmoid().float().cpu()[order]

        def draw(index: int) -> Cropped:
            whole = interpolate(shares[index][None, None], embedding.size, mode="bilinear", align_corners=False)
            return Cropped.of((whole[0, 0] > 0.5).numpy())

        return Instances(MaskStack(len(order), embedding.size, draw), scores[order])

    def _arrays(self, pixels: Tensor) -> dict[str, Tensor]:
        # The same as the model's `get_image_embeddings`, which does not return the tokens.
        seen = self._model.get_image_features(pixels, return_dict=True)
        maps = list(seen.fpn_hidden_states)
        maps[-1] = maps[-1] + self._model.no_memory_embedding
        # A fourth, coarser map is not used.
        sizes = self._model.backbone_feature_sizes
        placed = [value.permute(1, 2, 0).view(1, -1, *size) for value, size in zip(maps, sizes, strict=False)]
        return {f"features{level}": value for level, value in enumerate(placed)} | {"tokens": seen.last_hidden_state}

    def _seen(self, embedding: Embedding) -> Sam3VisionEncoderOutput:
        """Return what the detector takes of an image; it is too large to be kept: 0.1 GB an image."""
        tokens = self._tensor(embedding.arrays["tokens"])[None]
        side = math.isqrt(tokens.shape[1])
        maps, positions = self._detector.vision_encoder.neck(tokens.view(1, side, side, -1).permute(0, 3, 1, 2))
        return Sam3VisionEncoderOutput(
            last_hidden_state=tokens, fpn_hidden_states=maps, fpn_position_encoding=positions
        )

    @cachedmethod(lambda self: self._texts, lambda self, text: (self.device, text), lambda self: self._lock)
    def _text(self, text: str) -> tuple[Any, Tensor]:
        """Return a text as the detector takes it, and which of its tokens count (1, 32)."""
        tokens = self._tokenizer(text, padding="max_length", max_length=_TOKENS, return_tensors="pt").to(self.device)
        if (length := tokens["input_ids"].shape[1]) > _TOKENS:
            raise BadRequestError(
                f"{self.name} takes a text of {_TOKENS - 2} tokens, about twenty words; this one has {length - 2}. "
                "Name what to find in a few words, such as 'scratch on steel'."
            )
        return self._detector.get_text_features(**tokens, return_dict=True), tokens["attention_mask"]


def _centred(boxes: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Return boxes (N, 4) xyxy in pixels as centre, width and height in shares of an image of `size` (H, W)."""
    low, high = boxes[:, :2], boxes[:, 2:]
    centred: FloatArray = np.concatenate([(low + high) / 2, high - low], axis=1) / np.tile(size[::-1], 2)
    return centred.astype(np.float32)
