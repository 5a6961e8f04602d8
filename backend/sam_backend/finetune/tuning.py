"""The training itself: accepted masks, simulated annotators, early stopping; interrupted anywhere, it goes on."""

from __future__ import annotations

import io
import math
import os
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sam_backend.files import write_whole
from sam_backend.finetune.clicks import Clicks, chosen
from sam_backend.finetune.embeddings import Embeddings
from sam_backend.finetune.examples import Examples, Share
from sam_backend.finetune.lessons import Lesson, ask, teach
from sam_backend.finetune.losses import true_iou
from sam_backend.finetune.recipe import Parts, Recipe
from sam_backend.finetune.simulated_prompts import jittered_box
from sam_backend.finetune.trainable import TrainableModel
from sam_backend.finetune.views import GRID, View, random_view, served_view
from sam_backend.masks import deepest_point

_VALIDATION_IMAGES = 32
_VALIDATION_OBJECTS = 6
_SMALL = 512
"""Side in pixels of what an encoder sees of an image, up to which several may be in training at once."""


@dataclass(frozen=True)
class Check:
    """What a training had reached.

    Attributes
    ----------
    step : after how many steps.
    loss : mean since the last check; NaN before any step.
    box, click : mean IoU of the validation objects, for a tight box and a click in the centre.
    """

    step: int
    loss: float
    box: float
    click: float

    @property
    def score(self) -> float:
        """What decides which weights are best."""
        return (self.box + self.click) / 2


@dataclass
class _State:
    """What a checkpoint holds beside the weights."""

    step: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    lessons: int = 0
    checks: list[Check] = field(default_factory=list)


class Tuner:
    """Holds the model, the running average of what is trained, and the best of it so far.

    Parameters
    ----------
    start : the model; its weights are changed.
    examples : what it learns from and is checked on.
    recipe : how.
    out : folder of the checkpoint and of the kept embeddings.
    """

    def __init__(self, start: TrainableModel, examples: Examples, recipe: Recipe, out: Path) -> None:
        self.start, self.examples, self.recipe, self.out = start, examples, recipe, out
        # Before the weights change.
        self._identity = (recipe, start.name, start.digest(), examples.fingerprint)
        # Convolutions go a tenth faster so.
        self.model = start.model.train().to(memory_format=torch.channels_last)
        torch.manual_seed(recipe.seed)
        self.trained = _choose(self.model, recipe)
        self.average = {name: value.detach().clone() for name, value in self.trained.items()}
        self.best = {name: value.clone() for name, value in self.average.items()}
        encoder = [value for name, value in self.trained.items() if name.startswith("image_encoder.")]
        rest = [value for name, value in self.trained.items() if not name.startswith("image_encoder.")]
        groups = [{"params": rest, "highest": recipe.learning_rate}]
        groups += [{"params": encoder, "highest": recipe.encoder_rate}] if encoder else []
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, weight_decay=0.01)
        self.state = _State()
        self._encodes = bool(encoder)
        # Images side by side, each on one thread, go faster than all cores on one image; but the encoder of SAM in
        # training takes gigabytes an image.
        cores = os.cpu_count() or 1
        images = 1 if self._encodes and start.size > _SMALL else min(cores, recipe.images)
        threads = max(cores // images, 1)
        self._pool = ThreadPoolExecutor(images, initializer=torch.set_num_threads, initargs=(threads,))
        self._kept = Embeddings(out / "embeddings", self._encode)
        self._stride = start.size // GRID

    @property
    def checks(self) -> list[Check]:
        """All checks so far."""
        return self.state.checks

    def check(self) -> Check:
        """Measure the averaged weights on the validation images, and keep them where they are the best so far."""
        loss = self.state.loss / self.state.lessons if self.state.lessons else float("nan")
        with self._averaged():
            ious = list(self._pool.map(self._measure, self.examples.names[Share.VALIDATION][:_VALIDATION_IMAGES]))
        measured = np.concatenate([each for each in ious if len(each)])
        found = Check(self.state.step, loss, *(float(value) for value in measured.mean(0)))
        if not self.checks or found.score > max(each.score for each in self.checks):
            self.best = {name: value.clone() for name, value in self.average.items()}
        self.state.checks.append(found)
        self.state.loss, self.state.lessons = 0.0, 0
        return found

    def is_idle(self) -> bool:
        """Whether the last checks have not been better than an earlier one."""
        scores = [each.score for each in self.checks]
        return len(scores) - 1 - int(np.argmax(scores)) >= self.recipe.patience if scores else False

    def take_step(self) -> float:
        """Learn from a few images and return the loss; after a loss that is no number, nothing has changed."""
        recipe, state = self.recipe, self.state
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.rate(group["highest"], state.step)
        first = state.step * recipe.images
        learned = list(self._pool.map(self._learn, range(first, first + recipe.images)))
        total = sum(loss for loss, _ in learned) / recipe.images
        if not math.isfinite(total):
            return total
        for value, *gradients in zip(self.trained.values(), *(gradient for _, gradient in learned), strict=True):
            value.grad = torch.stack(known).sum(0) / recipe.images if (known := _known(gradients)) else None
        norm = torch.nn.utils.clip_grad_norm_(self.trained.values(), recipe.clip)
        if not torch.isfinite(norm):
            return float(norm)
        self.optimiser.step()
        state.step += 1
        state.loss += total
        state.lessons += 1
        keep = min(recipe.average, (1 + state.step) / (10 + state.step))
        with torch.no_grad():
            for name, value in self.trained.items():
                self.average[name].lerp_(value, 1 - keep)
        return total

    def _learn(self, lesson: int) -> tuple[float, tuple[Tensor | None, ...]]:
        """Return loss and gradients of one image; all that is drawn depends on the seed and the lesson alone."""
        recipe, names = self.recipe, self.examples.names[Share.TRAINING]
        # Each epoch in an order of its own.
        epoch, place = divmod(lesson, len(names))
        order = np.random.default_rng([recipe.seed, epoch]).permutation(len(names))
        rng = np.random.default_rng([recipe.seed, lesson, 1])
        with torch.autocast("cpu", torch.bfloat16):
            loss = self._lesson(rng, names[order[place]], epoch)
        if loss is None:
            return 0.0, (None,) * len(self.trained)
        return float(loss.detach()), torch.autograd.grad(loss, list(self.trained.values()), allow_unused=True)

    def save(self) -> None:
        """Write a checkpoint, whole or not at all; OSError where it cannot be written."""
        content = io.BytesIO()
        torch.save(
            {
                "identity": self._identity,
                "state": self.state,
                "trained": {name: value.detach() for name, value in self.trained.items()},
                "average": self.average,
                "best": self.best,
                "optimiser": self.optimiser.state_dict(),
            },
            content,
        )
        write_whole(self.out / "checkpoint.pt", content.getbuffer())

    def resume(self) -> bool:
        """Go on from the checkpoint in `out`; False where there is none of this recipe, start and examples."""
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return False
        try:
            saved = torch.load(path, map_location="cpu", weights_only=False)
        except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError):
            return False
        if saved["identity"] != self._identity:
            return False
        with torch.no_grad():
            for name, value in self.trained.items():
                value.copy_(saved["trained"][name])
        self.average, self.best, self.state = saved["average"], saved["best"], saved["state"]
        self.optimiser.load_state_dict(saved["optimiser"])
        return True

    def use_best(self) -> None:
        """Put the best weights so far into the model."""
        with torch.no_grad():
            for name, value in self.trained.items():
                value.copy_(self.best[name])
        self.model.eval()

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Compute with the averaged weights."""
        own = {name: value.detach().clone() for name, value in self.trained.items()}
        self.model.eval()
        with torch.no_grad():
            for name, value in self.trained.items():
                value.copy_(self.average[name])
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in self.trained.items():
                    value.copy_(own[name])
            self.model.train()

    def _encode(self, image: Any) -> Tensor:
        """Return the embedding (1, C, h, w) of an image uint8 (S, S, 3)."""
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        embedding: Tensor = self.model.image_encoder((pixels - self.model.pixel_mean) / self.model.pixel_std)
        return embedding

    def _lesson(self, rng: np.random.Generator, name: str, epoch: int) -> Tensor | None:
        """Return the loss of one image, a click or a box for some of its objects, maybe corrected; None without any."""
        recipe, size, padding = self.recipe, self.start.size, self.start.padding
        which = int(rng.integers(recipe.views)) if not self._encodes else epoch
        sample = self.examples.load(name)
        seed = [recipe.seed, *name.encode(), which]
        view = random_view(np.random.default_rng(seed), sample, size, padding)
        if not len(view.coverage):
            view = served_view(sample, size, padding)
        if not len(view.coverage):
            return None
        embedding = self._encode(view.image) if self._encodes else self._kept.fetch(f"{name} {which}", view.image)
        count = min(recipe.prompts, len(view.coverage))
        picked = rng.choice(len(view.coverage), count, replace=False)
        lone = rng.random() < recipe.click_share
        corrections = int(rng.integers(1, recipe.corrections + 1)) if rng.random() < 0.5 else 0
        lesson = Lesson(lone, corrections, self.start.clicked_pieces, self._stride, recipe.all_masks)
        loss, _ = teach(self.model, embedding, torch.from_numpy(view.coverage[picked]), rng, lesson)
        return loss

    @torch.no_grad()
    def _measure(self, name: str) -> Any:
        """Return the IoU (N, 2) of some objects of an image, for a tight box and a click in the centre."""
        sample = self.examples.load(name)
        view: View = served_view(sample, self.start.size, self.start.padding)
        targets = torch.from_numpy(view.coverage[:_VALIDATION_OBJECTS])
        if not len(targets):
            return np.zeros((0, 2))
        embedding = self._encode(view.image) if self._encodes else self._kept.fetch(f"{name} as served", view.image)
        masks = (targets >= 0.5).numpy()
        tight = np.random.default_rng(0)
        found = []
        boxes = torch.tensor([jittered_box(tight, mask, share=0.0) for mask in masks]) * float(self._stride)
        logits, _ = ask(self.model, embedding, Clicks(len(masks), self._stride), boxes)
        found.append(true_iou(logits[:, 0], targets))
        clicks = Clicks(len(masks), self._stride)
        clicks.add([((float(x), float(y)), 1) for x, y in map(deepest_point, masks)])
        logits, predicted = ask(self.model, embedding, clicks, None)
        answer = chosen(logits, predicted, True)[:, None]
        served = clicks.pieces(answer)[:, 0].float() - 0.5 if self.start.clicked_pieces else answer[:, 0]
        found.append(true_iou(served, targets))
        return torch.stack(found, 1).numpy()


def _known(gradients: Sequence[Tensor | None]) -> list[Tensor]:
    return [gradient for gradient in gradients if gradient is not None]


def _choose(model: Any, recipe: Recipe) -> dict[str, Tensor]:
    """Freeze all but what the recipe trains, and return that by name."""
    model.requires_grad_(False)
    model.mask_decoder.requires_grad_(True)
    model.prompt_encoder.requires_grad_(True)
    if recipe.parts is Parts.ALL:
        model.image_encoder.requires_grad_(True)
    elif recipe.parts is Parts.LORA:
        from sam_backend.finetune.adapters import add_adapters

        add_adapters(model.image_encoder, recipe.rank)
    return {name: value for name, value in model.named_parameters() if value.requires_grad}
