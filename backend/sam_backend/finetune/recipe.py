"""What decides a training. Needs no PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class Parts(StrEnum):
    """What of a model is trained."""

    DECODER = "decoder"
    LORA = "lora"
    ALL = "all"


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, together with the examples and the start.

    Attributes
    ----------
    parts : the mask decoder with the prompt encoder; also adapters in the image encoder (LoRA); or everything.
    steps : at most; the rates follow it.
    images, prompts : that a step learns from, and of each image.
    learning_rate, encoder_rate : highest of the decoder, and of the image encoder.
    average : of the running average of the weights, which is what is kept.
    click_share : of the lessons that begin with a lone click; the rest begin with a box.
    corrections : correcting clicks that follow at most, every other time none.
    all_masks : weight of the three ambiguity-aware masks other than the best.
    views : of each image that are encoded once and kept, where the encoder stays as it is.
    rank : of the adapters.
    checks : times that the validation images are measured.
    patience : checks without a better result that end the training.
    """

    parts: Parts = Parts.DECODER
    steps: int = 400
    images: int = 4
    prompts: int = 6
    learning_rate: float = 4e-4
    encoder_rate: float = 1.5e-4
    warm_up: int = 20
    clip: float = 4.0
    average: float = 0.985
    click_share: float = 0.6
    corrections: int = 3
    all_masks: float = 0.3
    views: int = 4
    rank: int = 8
    checks: int = 10
    patience: int = 4
    seed: int = 0

    def rate(self, highest: float, step: int) -> float:
        """Return the learning rate at `step`: warm-up to `highest`, then a cosine."""
        warm = min(1.0, (step + 1) / self.warm_up)
        return highest * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / self.steps)))

    def is_check(self, step: int) -> bool:
        """Whether the validation images are measured after `step` steps."""
        return step == self.steps or step % max(1, self.steps // self.checks) == 0


def recipe_for(model: str) -> Recipe:
    """Return the recipe of a model: all of a light one; of a heavy one the decoder, on embeddings made once."""
    # Every call of the command line imports this module; NumPy would double its cost.
    from sam_backend.segmenters.registry import model_info

    return Recipe() if model_info(model).is_heavy else Recipe(parts=Parts.ALL)
