"""A segmenter whose masks can be worked out by hand: pixels about as bright as those at the positive points."""

import numpy as np

from sam_backend.segmenters import Candidates, Embedding, ModelInfo, Prompt
from sam_backend.segmenters.correcting import Correcting
from sam_backend.segmenters.model_registry import no_features
from sam_backend.segmenters.protocol import NEGATIVE, POSITIVE

TOLERANCES = (5, 40, 90)
PREDICTED_IOU = (0.8, 0.95, 0.7)
SINGLE_IOU = 0.9


class ThresholdSegmenter:
    """Logits are the full-size mask at 10, the rest at -10; those of an earlier answer add to the mask."""

    name = "threshold"
    info = ModelInfo(name, "Brightness", "Apache-2.0", lambda *_: ThresholdSegmenter())

    def __init__(self, version="threshold-1"):
        self.version = version
        self.encoded = 0
        self.asked = []

    def encode(self, image):
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
        self.encoded += 1
        return Embedding({"grey": image.mean(axis=2).astype(np.float32)}, image.shape[:2])

    def decode(self, embedding, prompts, *, multimask=None):
        return [self._answer(embedding, prompt, multimask) for prompt in prompts]

    def features(self, embedding):
        raise no_features(embedding)

    def _answer(self, embedding, prompt: Prompt, multimask):
        self.asked.append(prompt)
        multimask = prompt.is_ambiguous if multimask is None else multimask
        tolerances, scores = (TOLERANCES, PREDICTED_IOU) if multimask else (TOLERANCES[1:2], (SINGLE_IOU,))
        masks = np.stack([self._mask(embedding, prompt, tolerance) for tolerance in tolerances])
        return Candidates(masks, np.array(scores, np.float32), np.where(masks, 10, -10).astype(np.float32))

    def _mask(self, embedding, prompt, tolerance):
        grey = embedding.arrays["grey"]
        mask = np.zeros(grey.shape, bool) if prompt.logits is None else prompt.logits > 0
        if prompt.box is not None and prompt.logits is None:
            left, top, right, bottom = prompt.box.astype(int)
            mask[top:bottom, left:right] = True
        for label in (POSITIVE, NEGATIVE):
            for x, y in prompt.points[prompt.labels == label].astype(int):
                mask[abs(grey - grey[y, x]) <= tolerance] = label == POSITIVE
        return mask


SERVED_VERSION = Correcting(ThresholdSegmenter()).version
"""Its version in a service, where the refiner stands behind it."""
