"""Trains `nano` on scenes: seeded, in stages of growing image size, resumable after any interruption."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as distributed
import torch.multiprocessing as multiprocessing
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from sam_backend.errors import SamInspectError
from sam_backend.learning.augmentation import view
from sam_backend.learning.export import export_nano
from sam_backend.learning.losses import answer_loss, true_iou
from sam_backend.learning.materials.collection import library
from sam_backend.learning.scenes.composition import COMPOSITIONS
from sam_backend.learning.scenes.regions import REGIONS
from sam_backend.learning.scenes.scene import SURFACES
from sam_backend.learning.scenes.store import build_scenes, load_scene
from sam_backend.learning.simulated_prompts import correcting_click, first_click, jittered_box
from sam_backend.segmenters.nano.architecture import build_nano
from sam_backend.segmenters.pieces import clicked_pieces

MIN_PIXELS = 8
"""Masks smaller than this in the decoder's output grid are no training target."""


@dataclass(frozen=True)
class Stage:
    """A share of the steps with one image size: `images` a step and replica, `prompts` an image."""

    share: float
    size: int
    images: int
    prompts: int
    train_backbone: bool


GROWING = (
    Stage(0.12, 192, 8, 5, train_backbone=False),
    Stage(0.56, 256, 6, 5, train_backbone=True),
    Stage(0.20, 384, 3, 5, train_backbone=True),
    Stage(0.12, 512, 2, 5, train_backbone=True),
)
LARGE = (
    Stage(0.15, 384, 3, 5, train_backbone=True),
    Stage(0.85, 512, 2, 5, train_backbone=True),
)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, together with the scenes and the versions of the libraries."""

    steps: int = 4300
    stages: tuple[Stage, ...] = GROWING
    start: str = ""
    """Digest of the weights that the training starts from; none: an encoder that knows ImageNet, the rest at random."""
    scenes: int = 5000
    surfaces: int = 4000
    seed: int = 0
    learning_rate: float = 1.2e-3
    backbone_rate: float = 1.5e-4
    warm_up: int = 100
    clip: float = 4.0
    average: float = 0.998
    click_share: float = 0.6
    """Share of the prompts that are lone clicks; the rest are boxes."""
    surface_share: float = 0.55
    """Share of the images that are surfaces with defects alone; the rest are mixed scenes."""
    compositions: int = 0
    composition_share: float = 0.7
    """Share of the images that are composed from materials, if such scenes there are; the rest is divided as above."""
    regions: int = 0
    region_share: float = 0.3
    """Share of these that are divided into regions without rest."""
    materials: str = ""  # the digest of their library
    most_corrections: int = 3
    last_correction: float = 0.0
    """Chance of each correction to be the last; 0: every number of them is as likely."""
    clicked_iou: bool = False
    """Whether the predicted IoU of a lone click is that of the piece clicked on, which is what serving returns."""
    replicas: int = 2
    """Processes of one thread each, which add up their gradients: the same weights on any number of cores, which
    several threads in one process do not give."""

    def rate(self, highest: float, step: int) -> float:
        """Return the learning rate at `step`: warm-up to `highest`, then a cosine."""
        warm = min(1.0, (step + 1) / self.warm_up)
        return highest * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / self.steps)))

    def corrections(self, step: int) -> int:
        """Return how many correcting clicks `step` has, every other time none; all replicas alike, so none waits."""
        rng = np.random.default_rng([self.seed, step])
        if rng.random() >= 0.5:
            return 0
        if self.last_correction:
            return min(int(rng.geometric(self.last_correction)), self.most_corrections)
        return int(rng.integers(1, self.most_corrections + 1))

    def stage(self, step: int) -> Stage:
        """Return the stage that `step` belongs to."""
        done = 0.0
        for stage in self.stages:
            done += stage.share
            if step < round(done * self.steps):
                return stage
        return self.stages[-1]


PROCEDURAL = Recipe()
"""From scratch on procedural scenes, in images of growing size."""

COMPOSED = Recipe(
    steps=3600,
    stages=LARGE,
    learning_rate=6e-4,
    backbone_rate=1e-4,
    click_share=0.5,
    compositions=7_000,
    regions=3_000,
    most_corrections=8,
    last_correction=0.5,
    clicked_iou=True,
)
"""On from the weights of `PROCEDURAL`, in large images, mostly on scenes composed from real material."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Images (I, 3, S, S) uint8 and, grouped by image, target coverage (I * P, S / 2, S / 2) in [0, 1]."""

    images: Tensor
    targets: Tensor


class SceneBatches(torch.utils.data.IterableDataset[Batch]):
    """Batch number n of a replica is a pure function of (seed, n, replica): a resumed training sees what it would have.

    `start` is the first step, `replica` the rank of the process.
    """

    def __init__(self, recipe: Recipe, folder: Path, start: int, replica: int) -> None:
        self.recipe, self.folder, self.start, self.replica = recipe, folder, start, replica

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches from `start` on; several workers take turns."""
        info = torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        for step in range(self.start + worker, self.recipe.steps, workers):
            yield make_batch(self.recipe, self.folder, step, self.replica)


def make_batch(recipe: Recipe, folder: Path, step: int, replica: int = 0) -> Batch:
    """Return the batch of one step and replica."""
    stage = recipe.stage(step)
    rng = np.random.default_rng([recipe.seed, step, replica])
    images: list[Tensor] = []
    targets: list[Tensor] = []
    while len(images) < stage.images:
        scene = load_scene(folder, _scene_number(recipe, rng))
        image, coverage = view(rng, scene, stage.size)
        areas = (coverage >= 0.5).sum((1, 2))
        usable = np.flatnonzero((areas >= MIN_PIXELS) & (areas < 0.9 * coverage[0].size))
        if not len(usable):
            continue
        chosen = rng.choice(usable, stage.prompts, replace=len(usable) < stage.prompts)
        images.append(torch.from_numpy(image.transpose(2, 0, 1).copy()))
        targets.append(torch.from_numpy(coverage[chosen]))
    return Batch(torch.stack(images), torch.cat(targets))


def _scene_number(recipe: Recipe, rng: np.random.Generator) -> int:
    if recipe.compositions and rng.random() < recipe.composition_share:
        if rng.random() < recipe.region_share and recipe.regions:
            return REGIONS + int(rng.integers(recipe.regions))
        return COMPOSITIONS + int(rng.integers(recipe.compositions))
    if rng.random() < recipe.surface_share:
        return SURFACES + int(rng.integers(recipe.surfaces))
    return int(rng.integers(recipe.scenes))


class Trainer:
    """Holds the model, its running average and the optimiser, and knows how to take, save and resume a step.

    With several replicas each process has a trainer of its own, and `torch.distributed` joins their gradients.
    """

    def __init__(self, recipe: Recipe, out: Path, replica: int = 0, start: dict[str, Tensor] | None = None) -> None:
        torch.manual_seed(recipe.seed)
        torch.set_num_threads(1)
        self.recipe, self.out, self.replica = recipe, out, replica
        self.model = build_nano()
        self.model.image_encoder.backbone.load_imagenet()
        self.model = self.model.to(memory_format=torch.channels_last)
        if start is not None:
            self.model.load_state_dict(start)
        self.averaged = copy.deepcopy(self.model)
        backbone = list(self.model.image_encoder.backbone.parameters())
        known = {id(parameter) for parameter in backbone}
        rest = [parameter for parameter in self.model.parameters() if id(parameter) not in known]
        self.optimiser = torch.optim.AdamW(
            [{"params": rest, "rate": recipe.learning_rate}, {"params": backbone, "rate": recipe.backbone_rate}],
            lr=recipe.learning_rate,
            weight_decay=0.01,
        )
        self.step = 0
        self.seconds = 0.0

    def take_step(self, batch: Batch) -> dict[str, float]:
        """Learn from one batch and return what to show of it."""
        recipe, stage = self.recipe, self.recipe.stage(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.rate(group["rate"], self.step)
        self.model.image_encoder.backbone.requires_grad_(stage.train_backbone)
        rng = np.random.default_rng([recipe.seed, self.step, self.replica, 1])
        with torch.autocast("cpu", torch.bfloat16):
            loss, shown = self._loss(batch, rng, stage.size)
        if not torch.isfinite(loss):
            raise SamInspectError(f"The loss became {loss.item()} at step {self.step}; the last checkpoint is kept.")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if distributed.is_initialized():
            self._join_gradients()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip)
        self.optimiser.step()
        self._average()
        self.step += 1
        return shown

    def _join_gradients(self) -> None:
        """Replace each gradient by its mean over the replicas; a prompt that one of them did not use counts as zero."""
        learning = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        joined = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in learning])
        distributed.all_reduce(joined)
        joined /= distributed.get_world_size()
        for parameter, part in zip(learning, joined.split([p.numel() for p in learning]), strict=True):
            parameter.grad = part.view_as(parameter)

    def _average(self) -> None:
        keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for old, new in zip(self.averaged.parameters(), self.model.parameters(), strict=True):
                old.lerp_(new, 1 - keep)

    def _loss(self, batch: Batch, rng: np.random.Generator, size: int) -> tuple[Tensor, dict[str, float]]:
        model = self.model
        model.prompt_encoder.resize(size)
        pixels = (batch.images.float() - model.pixel_mean) / model.pixel_std
        embedding = model.image_encoder(pixels.to(memory_format=torch.channels_last))
        targets = batch.targets
        masks = (targets >= 0.5).numpy()

        click = rng.random() < self.recipe.click_share
        boxes, points = None, _Points(len(masks))
        if click:
            points.add([(first_click(rng, mask), 1) for mask in masks])
        else:
            boxes = torch.tensor([jittered_box(rng, mask) for mask in masks]) * 2.0
        logits, predicted = self._decode(embedding, points, boxes, None)
        judged = self._clicked(logits, points) if click and self.recipe.clicked_iou else None
        loss = answer_loss(logits.float(), predicted.float(), targets, click, judged)
        first = _chosen(logits, predicted, click)
        shown = {("click" if click else "box"): float(true_iou(first, targets).mean())}

        corrections = self.recipe.corrections(self.step)
        if corrections:
            chosen = first.detach()
            for _ in range(corrections - 1):
                points.add_corrections(rng, masks, chosen)
                with torch.no_grad():
                    logits, predicted = self._decode(embedding.detach(), points, boxes, chosen)
                chosen = logits[:, 0]
            points.add_corrections(rng, masks, chosen)
            logits, predicted = self._decode(embedding, points, boxes, chosen)
            loss = loss + 0.7 * answer_loss(logits.float(), predicted.float(), targets, False)
            shown["corrected"] = float(true_iou(logits[:, 0], targets).mean())
        shown["loss"] = float(loss.detach())
        return loss, shown

    def _decode(
        self, embedding: Tensor, points: _Points, boxes: Tensor | None, logits: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Decode exactly as `SamPredictor` does, all prompts of a batch having the same form."""
        model = self.model
        mask_input = None if logits is None else logits[:, None].float()
        sparse, dense = model.prompt_encoder(points.tensors(), boxes, mask_input)
        position = model.prompt_encoder.get_dense_pe()
        masks, predicted = model.mask_decoder.predict_masks(embedding, position, sparse, dense)
        return masks, predicted

    def _clicked(self, logits: Tensor, points: _Points) -> Tensor:
        """Return masks bool (B, 4, H, W) as they are served after a lone click: the piece that it is on."""
        masks = (logits > 0).numpy()
        pieces = [
            [clicked_pieces(mask, clicks) for mask in four] for four, clicks in zip(masks, points.coords, strict=True)
        ]
        return torch.from_numpy(np.array(pieces))

    def log(self, running: dict[str, float]) -> None:
        """Add a line of running means to `log.jsonl`."""
        self.out.mkdir(parents=True, exist_ok=True)
        with (self.out / "log.jsonl").open("a") as log:
            log.write(json.dumps({"step": self.step, "seconds": round(self.seconds), **running}) + "\n")

    def save(self) -> None:
        """Write a checkpoint, whole or not at all."""
        self.out.mkdir(parents=True, exist_ok=True)
        part = self.out / "checkpoint.part"
        state = {
            "recipe": self.recipe,
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save(state, part)
        part.replace(self.out / "checkpoint.pt")

    def resume(self) -> bool:
        """Go on from the checkpoint in `out`, if there is one; it must have been made by the same recipe."""
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return False
        state = torch.load(path, map_location="cpu", weights_only=False)
        if state["recipe"] != self.recipe:
            raise SamInspectError(
                f"{path} was made by another recipe ({state['recipe']}); give the same options, or another --out."
            )
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        return True


class _Points:
    """The clicks of a batch of prompts so far, equally many for each, in the decoder's output grid."""

    def __init__(self, count: int) -> None:
        self.coords: NDArray[np.float32] = np.zeros((count, 0, 2), np.float32)
        self.labels: NDArray[np.int64] = np.zeros((count, 0), np.int64)

    def add(self, clicks: list[tuple[tuple[float, float], int]]) -> None:
        coords = np.array([[point] for point, _ in clicks], np.float32)
        labels = np.array([[label] for _, label in clicks], np.int64)
        self.coords = np.concatenate([self.coords, coords], 1)
        self.labels = np.concatenate([self.labels, labels], 1)

    def add_corrections(self, rng: np.random.Generator, masks: NDArray[np.bool_], logits: Tensor) -> None:
        predictions = (logits > 0).numpy()
        self.add([correcting_click(rng, mask, guess) for mask, guess in zip(masks, predictions, strict=True)])

    def tensors(self) -> tuple[Tensor, Tensor] | None:
        """Return coords in input pixels (the grid's are twice as large) and labels; None without a click."""
        if not self.coords.shape[1]:
            return None
        return torch.from_numpy(self.coords * 2 + 0.5), torch.from_numpy(self.labels)


def _chosen(logits: Tensor, predicted: Tensor, ambiguous: bool) -> Tensor:
    """Return the logits (B, H, W) that serving would return."""
    if not ambiguous:
        return logits[:, 0]
    best = 1 + predicted[:, 1:].argmax(1)
    return logits[torch.arange(len(logits)), best]


def weights_of(folder: Path) -> dict[str, Tensor]:
    """Return the averaged weights that a training left in its folder.

    Raises
    ------
    SamInspectError
        If there are none.
    """
    path = folder / "checkpoint.pt"
    if not path.exists():
        raise SamInspectError(f"{folder} holds no training to start from: checkpoint.pt is missing.")
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=False)["averaged"]
    return weights


def digest_of(weights: dict[str, Tensor]) -> str:
    """Return sixteen hex digits that tell weights apart."""
    digest = hashlib.sha256()
    for name, values in weights.items():
        digest.update(name.encode() + values.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def train(
    recipe: Recipe,
    scenes: Path,
    out: Path,
    materials: Path | None = None,
    start: Path | None = None,
    save_every: float = 120.0,
) -> dict[str, Tensor]:
    """Train `nano` by `recipe` and return its averaged weights.

    Parameters
    ----------
    recipe : what decides the weights.
    scenes : folder of scenes, filled where it is not.
    out : folder for the checkpoint, from which an interrupted training goes on, and `log.jsonl`.
    materials : folder of materials that missing scenes are composed from; its digest becomes part of the recipe.
    start : folder of a training whose weights this one starts from; their digest becomes part of the recipe.
    save_every : seconds between checkpoints.
    """
    if start is not None:
        recipe = replace(recipe, start=digest_of(weights_of(start)))
    if materials is not None:
        recipe = replace(recipe, materials=library(materials).digest)
    first_ones = {
        0: recipe.scenes,
        SURFACES: recipe.surfaces,
        COMPOSITIONS: recipe.compositions,
        REGIONS: recipe.regions,
    }
    build_scenes(scenes, [first + n for first, count in first_ones.items() for n in range(count)], materials=materials)
    trainer = Trainer(recipe, out)
    if trainer.resume():
        Console().print(f"Going on at step {trainer.step} of {recipe.steps}.")
    if trainer.step < recipe.steps:
        with tempfile.TemporaryDirectory() as meeting:
            arguments = (recipe, scenes, out, start, save_every, Path(meeting) / "replicas")
            multiprocessing.spawn(_replica, arguments, nprocs=recipe.replicas)
        trainer.resume()
    averaged: dict[str, Tensor] = trainer.averaged.state_dict()
    return averaged


def _replica(
    replica: int, recipe: Recipe, scenes: Path, out: Path, start: Path | None, save_every: float, meeting: Path
) -> None:
    """Train as one of several processes; the first shows, logs and saves."""
    distributed.init_process_group("gloo", f"file://{meeting}", rank=replica, world_size=recipe.replicas)
    trainer = Trainer(recipe, out, replica, weights_of(start) if start else None)
    trainer.resume()
    loader = torch.utils.data.DataLoader(
        SceneBatches(recipe, scenes, trainer.step, replica), batch_size=None, num_workers=1, prefetch_factor=8
    )
    running: dict[str, float] = {}
    saved = logged = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=replica > 0) as bar:
        task = bar.add_task("training", total=recipe.steps, completed=trainer.step)
        for batch in loader:
            started = time.monotonic()
            for name, value in trainer.take_step(batch).items():
                running[name] = 0.98 * running.get(name, value) + 0.02 * value
            now = time.monotonic()
            trainer.seconds += now - started
            if replica:
                continue
            described = " ".join(f"{name} {value:.3f}" for name, value in sorted(running.items()))
            bar.update(task, completed=trainer.step, description=f"{recipe.stage(trainer.step).size} px {described}")
            if now - logged > 15:
                logged = now
                trainer.log(running)
            if now - saved > save_every or trainer.step == recipe.steps:
                saved = now
                trainer.save()
    distributed.destroy_process_group()


def train_and_export(
    recipe: Recipe, scenes: Path, out: Path, materials: Path | None = None, start: Path | None = None
) -> tuple[Path, Path]:
    """Train and write `encoder.onnx` and `decoder.onnx` into `out`; return their paths."""
    paths = export_nano(train(recipe, scenes, out, materials, start), out)
    Console().print(f"Wrote {paths[0]} and {paths[1]}.", highlight=False)
    return paths
