"""The settings that decide a fine-tuning. Needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Parts(StrEnum):
    """The parts of a model that are trained."""

    DECODER = "decoder"
    LORA = "lora"
    ALL = "all"


@dataclass(frozen=True)
class TuningRecipe:
    """The settings that decide the tuned weights, together with the examples and the starting weights.

    Attributes
    ----------
    parts : Parts, the mask decoder with the prompt encoder; with adapters in the image encoder (LoRA); or everything.
    steps : int, the most steps; the learning rate follows it.
    images, prompts : int, the images of a step, and the prompts of an image.
    learning_rate, encoder_rate : float, the highest rates of the decoder and of the image encoder.
    warm_up : int, the steps in which the rate rises.
    clip : float, the largest norm of the gradient.
    average : float, the decay of the running average of the weights, which is what is kept.
    click_share : float in [0, 1], the share of images whose first prompt is a single click; the others get a box.
    corrections : int, the most correcting clicks that follow; half of the images get none.
    all_masks : float, the weight of the three ambiguity-aware masks other than the best.
    views : int, the views of an image that are encoded once and kept, if the encoder is not trained.
    rank : int, the rank of the adapters.
    checks : int, how often the validation images are measured.
    patience : int, the number of checks without a better result that ends the training.
    seed : int.
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

    def is_check(self, step: int) -> bool:
        """Return whether the validation images are measured after `step` steps."""
        return step == self.steps or step % max(1, self.steps // self.checks) == 0


def recipe_for(model: str) -> TuningRecipe:
    """Return the recipe of a model: all of a light one; of a heavy one the decoder, on embeddings made once."""
    # Every command line imports this module, and the registry would double its cost.
    from sam_backend.segmenters.model_registry import model_info

    return TuningRecipe() if model_info(model).is_heavy else TuningRecipe(parts=Parts.ALL)
