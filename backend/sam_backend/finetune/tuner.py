"""The training of a fine-tuning: accepted masks, simulated annotators, and checks that find the best weights."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sam_backend.arrays import ImageArray
from sam_backend.finetune.click_batch import ClickBatch, served_logits
from sam_backend.finetune.examples import Examples, Split, TooFewMasksError
from sam_backend.finetune.losses import true_iou
from sam_backend.finetune.prompted_loss import Prompting, decode, prompted_loss
from sam_backend.finetune.simulated_prompts import jittered_box
from sam_backend.finetune.trainable import TrainableModel
from sam_backend.finetune.training_loop import Optimisation, Schedule, read_checkpoint
from sam_backend.finetune.tuning_curves import Check
from sam_backend.finetune.tuning_recipe import Parts, TuningRecipe
from sam_backend.finetune.view_embeddings import ViewEmbeddings
from sam_backend.finetune.views import GRID, MIN_CELLS, View, random_view, served_views
from sam_backend.masks import deepest_point

CHECKPOINT = "checkpoint.pt"
EMBEDDINGS = "embeddings"

_FLOOR = 0.02
_SAVE_EVERY = 60.0
_VALIDATION_IMAGES = 32
_VALIDATION_OBJECTS = 6
_VALIDATION_CROPS = 3
_METHOD = 2
"""Counts up when the same recipe gives other weights, so that no training goes on from a checkpoint of before."""

_SMALL = 512
"""Side in pixels of the encoder's input up to which several images are trained on at once."""


@dataclass
class _Notes:
    """What a checkpoint keeps beside tensors and steps."""

    loss_sum: float = 0.0
    losses: int = 0
    checks: list[Check] = field(default_factory=list)

    @classmethod
    def of(cls, text: str) -> _Notes:
        notes = cls(**json.loads(text))
        return cls(notes.loss_sum, notes.losses, [Check(**check) for check in notes.checks])  # type: ignore[arg-type]


class Tuner:
    """A model in fine-tuning, and the best weights so far.

    Parameters
    ----------
    trainable : TrainableModel, whose weights are changed.
    examples : Examples, the images to learn from and to check on.
    recipe : TuningRecipe.
    out : Path, the folder of the checkpoint and of the kept embeddings.
    device : a torch device; None takes a CUDA GPU if there is one.
    """

    def __init__(
        self,
        trainable: TrainableModel,
        examples: Examples,
        recipe: TuningRecipe,
        out: Path,
        device: str | None = None,
    ) -> None:
        self.examples, self.recipe, self.out = examples, recipe, out
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        # The digest is that of the starting weights, so it is taken before they change.
        weights = trainable.digest()
        identity = {"recipe": asdict(recipe), "model": trainable.name, "weights": weights, "method": _METHOD}
        self._identity = json.dumps(identity | {"examples": examples.fingerprint}, sort_keys=True)
        self._size, self._padding = trainable.size, trainable.padding
        self._clicked_pieces = trainable.clicked_pieces
        # Convolutions are a tenth faster in this memory format.
        self.model = trainable.model.train().to(self.device, memory_format=torch.channels_last)
        torch.manual_seed(recipe.seed)
        self.optimisation = Optimisation(
            _trained(self.model, recipe),
            Schedule(recipe.steps, recipe.warm_up, _FLOOR),
            rate=recipe.learning_rate,
            slow_rate=recipe.encoder_rate,
            slow="image_encoder.",
            clip=recipe.clip,
            average=recipe.average,
        )
        self.best = {name: value.clone() for name, value in self.optimisation.average.values.items()}
        self._notes = _Notes()
        self._encoder_learns = any(name.startswith("image_encoder.") for name in self.optimisation.weights)
        # Images side by side, each on one thread, are faster than all cores on one image. A GPU takes one at a time,
        # and so do the encoders of SAM in training, which need gigabytes for an image.
        cores = os.cpu_count() or 1
        one_by_one = self.device.type != "cpu" or (self._encoder_learns and self._size > _SMALL)
        images = 1 if one_by_one else min(cores, recipe.images)
        self._pool = ThreadPoolExecutor(images, initializer=torch.set_num_threads, initargs=(max(cores // images, 1),))
        self._embeddings = ViewEmbeddings(out / EMBEDDINGS, weights, self._encode)
        self._stride = self._size // GRID

    @property
    def step(self) -> int:
        """The number of steps done."""
        return self.optimisation.step

    @property
    def checks(self) -> list[Check]:
        """All checks so far."""
        return self._notes.checks

    @property
    def best_check(self) -> int:
        """The index of the check with the highest score, the first of equals."""
        scores = [check.score for check in self.checks]
        return scores.index(max(scores))

    def run(self, after_step: Callable[[], bool]) -> None:
        """Take the steps that are left, until the last ones or until nothing gets better.

        Parameters
        ----------
        after_step : function, called after each step; it returns whether to write a checkpoint at once.

        Raises
        ------
        NonFiniteLossError
            If a loss is not a finite number.
        OSError
            If a checkpoint cannot be written.
        """
        self.optimisation.run(
            self.take_step, lambda _: after_step(), self.save, save_every=_SAVE_EVERY, is_over=self.is_idle
        )

    def check(self) -> Check:
        """Measure the averaged weights on the validation images; keep them if they are the best so far.

        Raises
        ------
        TooFewMasksError
            If no object of the validation images is large enough to be measured.
        """
        notes = self._notes
        loss = notes.loss_sum / notes.losses if notes.losses else float("nan")
        self.model.eval()
        with self.optimisation.averaged():
            names = self.examples.names[Split.VALIDATION][:_VALIDATION_IMAGES]
            ious = list(self._pool.map(self._measure, names))
        self.model.train()
        measured = np.concatenate([np.zeros((0, 2)), *ious])
        if not len(measured):
            raise TooFewMasksError(
                f"None of the {self.examples.masks[Split.VALIDATION]} masks on the {len(names)} validation images can "
                f"be measured: each covers fewer than {MIN_CELLS} cells of the model's grid, also in a crop at the "
                "image's own resolution. Accept masks that are larger, or give larger images."
            )
        check = Check(self.step, loss, *(float(value) for value in measured.mean(0)))
        if not self.checks or check.score > max(earlier.score for earlier in self.checks):
            self.best = {name: value.clone() for name, value in self.optimisation.average.values.items()}
        self._notes = _Notes(checks=[*self.checks, check])
        return check

    def is_idle(self) -> bool:
        """Return whether the last checks were no better than an earlier one."""
        return bool(self.checks) and len(self.checks) - 1 - self.best_check >= self.recipe.patience

    def take_step(self) -> float:
        """Learn from a few images and return the loss.

        Raises
        ------
        NonFiniteLossError
            If the loss or the gradient is not finite; nothing has changed.
        """
        images, optimisation = self.recipe.images, self.optimisation
        optimisation.begin_step()
        first = self.step * images
        learned = list(self._pool.map(self._learn, range(first, first + images)))
        loss = sum(loss for loss, _ in learned) / images
        optimisation.require_finite(loss)
        for weight, *gradients in zip(
            optimisation.weights.values(), *(gradients for _, gradients in learned), strict=True
        ):
            present = [gradient for gradient in gradients if gradient is not None]
            weight.grad = torch.stack(present).sum(0) / images if present else None
        # In the pool, whose number of threads is set here; it decides the order of sums.
        self._pool.submit(optimisation.end_step).result()
        self._notes.loss_sum += loss
        self._notes.losses += 1
        return loss

    def save(self) -> None:
        """Write a checkpoint, whole or not at all; raise OSError if it cannot be written."""
        notes = json.dumps(asdict(self._notes))
        self.optimisation.checkpoint(self._identity, notes, self.best).write(self.out / CHECKPOINT)

    def resume(self) -> bool:
        """Continue from the checkpoint in `out`; return False if there is none of this training."""
        checkpoint = read_checkpoint(self.out / CHECKPOINT)
        if checkpoint is None or checkpoint.identity != self._identity:
            return False
        self.optimisation.resume(checkpoint)
        self.best = {name: value.to(self.device) for name, value in checkpoint.best.items()}
        self._notes = _Notes.of(checkpoint.notes)
        return True

    def use_best(self) -> None:
        """Put the best weights so far into the model."""
        self.optimisation.use(self.best)
        self.model.eval()

    def _learn(self, number: int) -> tuple[float, tuple[Tensor | None, ...]]:
        """Return loss and gradients of one image; all draws depend on the seed and the number alone."""
        recipe, names = self.recipe, self.examples.names[Split.TRAINING]
        weights = list(self.optimisation.weights.values())
        # Each epoch has its own order.
        epoch, place = divmod(number, len(names))
        order = np.random.default_rng([recipe.seed, epoch]).permutation(len(names))
        rng = np.random.default_rng([recipe.seed, number, 1])
        # PyTorch's cache of cast weights belongs to the process: a thread that leaves autocast would empty it for the
        # others, and gradients would be rounded in another order from run to run.
        with torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False):
            loss = self._loss(rng, names[order[place]], epoch)
        if loss is None:
            return 0.0, (None,) * len(weights)
        return float(loss.detach()), torch.autograd.grad(loss, weights, allow_unused=True)

    def _loss(self, rng: np.random.Generator, name: str, epoch: int) -> Tensor | None:
        """Return the loss of some objects of one image; None if no object is large enough."""
        recipe = self.recipe
        which = epoch if self._encoder_learns else int(rng.integers(recipe.views))
        sample = self.examples.load(name)
        view_rng = np.random.default_rng([recipe.seed, *name.encode(), which])
        view = random_view(view_rng, sample, self._size, self._padding)
        if not len(view.coverage):
            return None
        embedding = self._embedding(view)
        count = min(recipe.prompts, len(view.coverage))
        picked = rng.choice(len(view.coverage), count, replace=False)
        single_click = rng.random() < recipe.click_share
        corrections = int(rng.integers(1, recipe.corrections + 1)) if rng.random() < 0.5 else 0
        prompting = Prompting(single_click, corrections, self._clicked_pieces, self._stride, recipe.all_masks)
        targets = torch.from_numpy(view.coverage[picked]).to(self.device)
        loss, _ = prompted_loss(self.model, embedding, targets, rng, prompting)
        return loss

    @torch.no_grad()
    def _measure(self, name: str) -> Any:
        """Return the IoU (N, 2) of some objects of an image, for a tight box and for a click in the centre."""
        sample = self.examples.load(name)
        views = served_views(sample, self._size, self._padding, _VALIDATION_OBJECTS, _VALIDATION_CROPS)
        return np.concatenate([np.zeros((0, 2)), *map(self._measure_view, views)])

    def _measure_view(self, view: View) -> Any:
        """Return the IoU (N, 2) of the objects of a view."""
        targets = torch.from_numpy(view.coverage).to(self.device)
        embedding = self._embedding(view)
        masks = (targets >= 0.5).cpu().numpy()
        rng = np.random.default_rng(0)
        boxes = torch.tensor([jittered_box(rng, mask, share=0.0) for mask in masks]) * float(self._stride)
        logits, _ = decode(self.model, embedding, ClickBatch(len(masks), self._stride), boxes)
        box = true_iou(logits[:, 0], targets)
        clicks = ClickBatch(len(masks), self._stride)
        clicks.add([((float(x), float(y)), 1) for x, y in map(deepest_point, masks)])
        logits, predicted_iou = decode(self.model, embedding, clicks, None)
        answer = served_logits(logits, predicted_iou, ambiguous=True)
        if self._clicked_pieces:
            answer = clicks.pieces(answer[:, None])[:, 0].float() - 0.5
        return torch.stack([box, true_iou(answer, targets)], 1).cpu().numpy()

    def _embedding(self, view: View) -> Tensor:
        """Return the embedding (1, C, h, w) of a view: computed if the encoder learns, else kept on disk."""
        if self._encoder_learns:
            return self._encode(view.image)
        precision = "bfloat16" if torch.is_autocast_enabled(self.device.type) else "float32"
        return self._embeddings.fetch(view.image, precision).to(self.device)

    def _encode(self, image: ImageArray) -> Tensor:
        """Return the embedding (1, C, h, w) of an image uint8 (S, S, 3)."""
        pixels = torch.from_numpy(image).to(self.device).permute(2, 0, 1)[None].float()
        embedding: Tensor = self.model.image_encoder((pixels - self.model.pixel_mean) / self.model.pixel_std)
        return embedding


def _trained(model: Any, recipe: TuningRecipe) -> dict[str, Tensor]:
    """Freeze all but what the recipe trains, and return that by name."""
    model.requires_grad_(False)
    model.mask_decoder.requires_grad_(True)
    model.prompt_encoder.requires_grad_(True)
    if recipe.parts is Parts.ALL:
        model.image_encoder.requires_grad_(True)
    elif recipe.parts is Parts.LORA:
        from sam_backend.finetune.adapters import add_adapters

        add_adapters(model.image_encoder, recipe.rank)
        model.image_encoder.to(next(model.mask_decoder.parameters()).device)
    return {name: value for name, value in model.named_parameters() if value.requires_grad}
