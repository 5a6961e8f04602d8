"""Scenes that are divided into regions without anything left over, as natural images are: all of them are targets."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_research.materials.collection import Library
from sam_research.scenes.camera import inspection_camera
from sam_research.scenes.composition import COMPOSITION_SIZE
from sam_research.scenes.defects import Drawn
from sam_research.scenes.layers import cast_shadow, paste
from sam_research.scenes.scene import ANOTHER, Scene
from sam_research.scenes.scene_masks import can_be_seen, pieces, settle
from sam_research.scenes.scene_objects import cutout
from sam_research.scenes.skins import stuff, surface
from sam_research.scenes.textures import fractal_noise, grid

REGIONS = 11_000_000
"""Scenes from this number on are divided into regions."""

_MOST_THINGS = 4


def divide(number: int, library: Library) -> Scene:
    """Return scene `number`: three to twelve regions, and up to four things in front of them."""
    rng = np.random.default_rng([number, 20_262])
    grey = bool(rng.random() < 0.4)
    image, masks = _regions(rng, library, grey)
    for _ in range(int(rng.integers(_MOST_THINGS + 1))):
        radius = COMPOSITION_SIZE * rng.uniform(0.05, 0.35)
        thing = cutout(rng, library, COMPOSITION_SIZE, rng.uniform(0.02, 0.98, 2) * COMPOSITION_SIZE, radius, grey)
        image = paste(rng, cast_shadow(rng, image, thing.coverage, radius), thing.coverage, thing.skin)
        masks = settle(masks, [thing.coverage > 0.5])
    picture = inspection_camera(rng, image, grey)
    kept = [mask for whole in masks for mask in pieces(rng, whole) if can_be_seen(picture, mask)]
    return Scene(picture, np.stack(kept)) if kept else divide(number + ANOTHER, library)


def _regions(rng: Generator, library: Library, grey: bool) -> Drawn:
    count = int(rng.integers(3, 13))
    labels = _partition(rng, count)
    image = np.zeros((COMPOSITION_SIZE, COMPOSITION_SIZE, 3), np.float32)
    total = np.zeros((COMPOSITION_SIZE, COMPOSITION_SIZE, 1), np.float32)
    softness = rng.uniform(0.3, 1.5)
    for index in range(count):
        fill = (stuff if rng.random() < 0.5 else surface)(rng, library, COMPOSITION_SIZE, grey)
        # Neighbours of one brightness would be one region to the eye.
        fill = fill + np.float32(rng.normal(0, 0.1))
        share = cv2.GaussianBlur((labels == index).astype(np.float32), (0, 0), softness)[..., None]
        image += share * fill
        total += share
    masks: list[BoolArray] = [labels == index for index in range(count)]
    return image / total, masks


def _partition(rng: Generator, count: int) -> NDArray[np.intp]:
    """Return labels (S, S) of the nearest of some sites, by distances that are bent, stretched and weighted."""
    x, y = grid(COMPOSITION_SIZE)
    if rng.random() < 0.7:
        bend = rng.uniform(0.02, 0.25)
        x, y = (
            axis + bend * fractal_noise(rng, COMPOSITION_SIZE, slope=1.5, first=int(rng.integers(2, 6)))
            for axis in (x, y)
        )
    angle, stretch = rng.uniform(0, np.pi), 2.0 ** rng.uniform(0, 2)
    along, across = x * np.cos(angle) + y * np.sin(angle), stretch * (y * np.cos(angle) - x * np.sin(angle))
    sites = rng.permutation(COMPOSITION_SIZE * COMPOSITION_SIZE)[:count]
    weights = 2.0 ** rng.normal(0, 0.6, count)
    distances = [
        weight * np.hypot(along - along.flat[site], across - across.flat[site])
        for site, weight in zip(sites, weights, strict=True)
    ]
    labels: NDArray[np.intp] = np.argmin(np.stack(distances), 0)
    return labels
