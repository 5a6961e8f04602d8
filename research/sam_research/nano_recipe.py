"""The settings that decide the weights of `nano`: lengths, sizes, rates, shares of data. Needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Stage:
    """A share of the steps with one image size, in pixels; each replica takes `images` a step, with `prompts` each."""

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
class NanoRecipe:
    """Everything that decides the weights, together with the scenes and the versions of the libraries."""

    steps: int = 4300
    stages: tuple[Stage, ...] = GROWING
    start: str = ""
    """Digest of the starting weights; empty for an encoder with its ImageNet weights and the rest at random."""
    kept: float = 0.0
    """Share of the starting weights in the result, which keeps what was learnt before (Wortsman et al., Robust
    fine-tuning of zero-shot models, CVPR 2022)."""
    scenes: int = 5000
    surfaces: int = 4000
    seed: int = 0
    learning_rate: float = 1.2e-3
    backbone_rate: float = 1.5e-4
    warm_up: int = 100
    clip: float = 4.0
    average: float = 0.998
    click_share: float = 0.6
    """Share of the prompts that are single clicks; the rest are boxes."""
    surface_share: float = 0.55
    """Share of the images that are only surfaces with defects; the rest are mixed scenes."""
    compositions: int = 0
    composition_share: float = 0.7
    """Share of the images that are composed from materials, if there are such scenes; the rest is divided as above."""
    regions: int = 0
    region_share: float = 0.3
    """Share of the composed images that are fully divided into regions."""
    materials: str = ""
    """Digest of the library of materials."""
    most_corrections: int = 3
    last_correction: float = 0.0
    """Probability that a correction is the last; with 0 all numbers of corrections are equally likely."""
    clicked_iou: bool = False
    """Whether the predicted IoU of a single click is that of the clicked piece, which is what serving returns."""
    replicas: int = 2
    """Processes of one thread each, which add their gradients. They give the same weights on any number of cores;
    several threads in one process do not."""

    def corrections(self, step: int) -> int:
        """Return the number of correcting clicks of a step: half of the time none, and the same for all replicas."""
        rng = np.random.default_rng([self.seed, step])
        if rng.random() >= 0.5:
            return 0
        if self.last_correction:
            return min(int(rng.geometric(self.last_correction)), self.most_corrections)
        return int(rng.integers(1, self.most_corrections + 1))

    def stage(self, step: int) -> Stage:
        """Return the stage of a step."""
        done = 0.0
        for stage in self.stages:
            done += stage.share
            if step < round(done * self.steps):
                return stage
        return self.stages[-1]


PROCEDURAL = NanoRecipe()
"""From scratch on procedural scenes, in images of growing size."""

COMPOSED = NanoRecipe(
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
    kept=0.25,
)
"""From the weights of `PROCEDURAL`, in large images, mostly on scenes composed from real material."""
