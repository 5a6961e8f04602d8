"""A training scene: an image and the masks of everything in it, a pure function of its seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_research.scenes.camera import photograph
from sam_research.scenes.defects import any_defect, any_surface_defect
from sam_research.scenes.layers import Image, cast_shadow, paste, shade
from sam_research.scenes.scene_masks import can_be_seen, pieces, settle
from sam_research.scenes.shapes import any_shape
from sam_research.scenes.textures import any_texture, brushed, colourise, fractal_noise, smooth, speckle

SIZE = 384
ANOTHER = 1_000_000_007
"""What is added to the number of a scene that has nothing to show, to make another one in its place."""

SURFACES = 1_000_000
"""Scenes from this number on are surfaces with defects alone, mostly grey."""


@dataclass(frozen=True, eq=False)
class Scene:
    """An image uint8 RGB (S, S, 3) and its masks bool (N, S, S); masks may nest and overlap."""

    image: NDArray[np.uint8]
    masks: NDArray[np.bool_]


def make_scene(seed: int) -> Scene:
    """Return scene number `seed`: half layered objects with parts, half surfaces with defects, a few of both.

    From number `SURFACES` on, only surfaces with defects.
    """
    rng = np.random.default_rng([seed, 20_261])
    if SURFACES <= seed < 2 * SURFACES:
        return _surface(rng, seed)
    grey = rng.random() < 0.45
    image = colourise(rng, any_texture(rng, SIZE), grey)
    masks: list[BoolArray] = []
    kind = rng.random()
    if kind < 0.62:
        image, masks = _layered(rng, image, grey, int(rng.integers(2, 12)))
    if kind > 0.5:
        if not masks and rng.random() < 0.25:
            image, masks = _layered(rng, image, grey, 1)
        for _ in range(int(rng.integers(1, 4))):
            image, drawn = any_defect(rng, image)
            masks = settle(masks, []) + drawn
    picture = photograph(rng, image, grey)
    kept = [mask for whole in masks for mask in pieces(rng, whole) if can_be_seen(picture, mask)]
    if not kept:
        return make_scene(seed + ANOTHER)
    return Scene(picture, np.stack(kept))


def _surface(rng: Generator, seed: int) -> Scene:
    grey = rng.random() < 0.8
    texture = (brushed, fractal_noise, speckle, smooth)[rng.integers(4)] if rng.random() < 0.8 else any_texture
    image = colourise(rng, texture(rng, SIZE), grey)
    if rng.random() < 0.5:
        image = image + rng.uniform(0.3, 0.9) * (image.mean((0, 1)) - image)
    if rng.random() < 0.4:
        image = image + rng.uniform(0.02, 0.1) * brushed(rng, SIZE)[..., None]
    masks: list[BoolArray] = []
    for _ in range(int(rng.integers(1, 4))):
        image, drawn = any_surface_defect(rng, image)
        masks += drawn
    picture = photograph(rng, image, grey)
    kept = [mask for whole in masks for mask in pieces(rng, whole) if can_be_seen(picture, mask)]
    return Scene(picture, np.stack(kept)) if kept else make_scene(seed + 2 * SURFACES)


def _layered(rng: Generator, image: Image, grey: bool, count: int) -> tuple[Image, list[BoolArray]]:
    """Paste objects, later ones in front; a few have parts, repeat an earlier texture, or cast a shadow."""
    masks: list[BoolArray] = []
    largest = rng.uniform(0.12, 0.5)
    earlier: list[Image] = []
    for _ in range(count):
        radius = SIZE * rng.uniform(0.03, largest)
        coverage = any_shape(rng, SIZE, rng.uniform(0, SIZE, 2), radius)
        reuse = bool(earlier) and rng.random() < 0.3
        skin = earlier[rng.integers(len(earlier))] if reuse else colourise(rng, any_texture(rng, SIZE), grey)
        earlier.append(skin)
        image = cast_shadow(rng, image, coverage, radius)
        image = paste(rng, image, coverage, shade(rng, skin, coverage, radius))
        whole = coverage > 0.5
        parts: list[BoolArray] = []
        if rng.random() < 0.4:
            for _ in range(int(rng.integers(1, 4))):
                inside = np.argwhere(whole)
                if len(inside) < 200:
                    break
                centre = inside[rng.integers(len(inside))][::-1].astype(float)
                part = np.minimum(any_shape(rng, SIZE, centre, radius * rng.uniform(0.15, 0.5)), coverage)
                image = paste(rng, image, part, colourise(rng, any_texture(rng, SIZE), grey))
                parts = settle(parts, [part > 0.5])
        masks = settle(masks, [whole]) + parts
    return image, masks
