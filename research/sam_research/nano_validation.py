"""Measures `nano` in PyTorch on scenes that no training uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam_backend.finetune.click_batch import ClickBatch, served_logits
from sam_backend.finetune.losses import true_iou
from sam_backend.finetune.prompted_loss import decode
from sam_backend.finetune.simulated_prompts import first_click, jittered_box
from sam_backend.segmenters.nano.architecture import IMAGE_SIZE
from sam_research.batches import MIN_PIXELS
from sam_research.nano_recipe import NanoRecipe
from sam_research.scenes.composition import COMPOSITIONS
from sam_research.scenes.regions import REGIONS
from sam_research.scenes.scene import SURFACES, Scene
from sam_research.scenes.scene_store import build_scenes, load_scene

HELD_OUT = 900_000
"""Number of the first scene of each kind that is never trained on."""

PROMPTS = ("box", "click", "corrected")
"""The prompts for each object: a tight box, a single click, and two corrections of the click's answer."""

_MOST_OBJECTS = 6
_CORRECTIONS = 2


@dataclass(frozen=True, eq=False)
class Answers:
    """The model's answers for N objects of a scene, by `PROMPTS`.

    Attributes
    ----------
    image : (512, 512, 3) uint8 RGB, as it was shown.
    truth : (N, 256, 256) bool.
    masks : (3, N, 256, 256) bool, as they would be served.
    iou, predicted : (3, N), true and predicted.
    clicks : (N, 3, 2) xy in cells and (N, 3) labels of the last prompt.
    """

    image: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    masks: NDArray[np.bool_]
    iou: NDArray[np.float32]
    predicted: NDArray[np.float32]
    clicks: tuple[NDArray[np.float32], NDArray[np.int64]]


def held_out(recipe: NanoRecipe, count: int) -> list[int]:
    """Return the numbers of held-out scenes, about equally many of each kind that a recipe trains on."""
    kinds = [COMPOSITIONS, REGIONS] if recipe.compositions else [0, SURFACES]
    return [kind + HELD_OUT + number for number in range(-(-count // len(kinds))) for kind in kinds][:count]


def load_held_out(recipe: NanoRecipe, count: int, folder: Path, materials: Path | None) -> list[Scene]:
    """Return held-out scenes, and make those that are missing; raise what `build_scenes` raises."""
    numbers = held_out(recipe, count)
    build_scenes(folder, numbers, materials=materials)
    return [load_scene(folder, number) for number in numbers]


@torch.no_grad()
def answers(model: Any, scene: Scene) -> Answers | None:
    """Return a model's answers for some objects of a scene, as it would serve them; None if all are too small."""
    device = next(model.parameters()).device
    image = cv2.resize(scene.image, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_LINEAR)
    cells = (IMAGE_SIZE // 2, IMAGE_SIZE // 2)
    shrunk = [cv2.resize(mask.astype(np.float32), cells, interpolation=cv2.INTER_AREA) for mask in scene.masks]
    large = [coverage for coverage in shrunk if (coverage >= 0.5).sum() >= MIN_PIXELS][:_MOST_OBJECTS]
    if not large:
        return None
    coverage = np.stack(large)
    model.prompt_encoder.resize(IMAGE_SIZE)
    pixels = torch.from_numpy(image.transpose(2, 0, 1)[None].copy()).to(device).float()
    embedding = model.image_encoder((pixels - model.pixel_mean) / model.pixel_std)
    targets = torch.from_numpy(coverage).to(device)
    masks = coverage >= 0.5
    rng = np.random.default_rng(0)
    results: list[tuple[Tensor, Tensor]] = []

    boxes = torch.tensor([jittered_box(rng, mask, share=0.0) for mask in masks]) * 2.0
    logits, predicted = decode(model, embedding, ClickBatch(len(masks)), boxes)
    results.append((logits[:, 0] > 0, predicted[:, 0]))

    clicks = ClickBatch(len(masks))
    clicks.add([(first_click(rng, mask), 1) for mask in masks])
    logits, predicted = decode(model, embedding, clicks, None)
    answer = served_logits(logits, predicted, ambiguous=True)
    results.append((clicks.pieces(answer[:, None])[:, 0], predicted[:, 1:].max(1).values))
    for _ in range(_CORRECTIONS):
        clicks.add_corrections(rng, masks, answer)
        logits, predicted = decode(model, embedding, clicks, None, answer)
        answer = logits[:, 0]
    results.append((answer > 0, predicted[:, 0]))

    iou = [true_iou(mask.float() - 0.5, targets) for mask, _ in results]
    return Answers(
        image,
        masks,
        np.stack([mask.cpu().numpy() for mask, _ in results]),
        torch.stack(iou).cpu().numpy(),
        torch.stack([predicted for _, predicted in results]).cpu().numpy(),
        (clicks.coords, clicks.labels),
    )
