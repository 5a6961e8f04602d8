"""Marks of wear and of the material: faint scratches, scuffs, soft stains, shading, pores, frays, other skins.

Each function returns the changed image and the masks a careful annotator would draw.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator

from sam_backend.arrays import BoolArray
from sam_research.scenes.camera import soft_light
from sam_research.scenes.defects import Drawn, add, anywhere, generous, shift
from sam_research.scenes.layers import Image
from sam_research.scenes.scene_masks import components
from sam_research.scenes.shapes import blob, cloud, curve, stroke
from sam_research.scenes.textures import Map, speckle


def blur(coverage: Map, sigma: float) -> Map:
    """Gaussian blur of a map; a wide one is taken at a lower resolution, where it costs little."""
    lower = max(1, int(sigma / 4))
    if lower == 1:
        return np.asarray(cv2.GaussianBlur(coverage, (0, 0), sigma), np.float32)
    size = coverage.shape[::-1]
    small = cv2.resize(coverage, (max(8, size[0] // lower), max(8, size[1] // lower)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / lower), size), np.float32)


def rugged(rng: Generator, size: int, fine: float) -> Map:
    """Return smooth noise (size, size) of deviation about 1 whose lumps are `fine` pixels wide."""
    cells = max(3, int(size / fine))
    noise = rng.standard_normal((cells, cells), np.float32)
    return np.asarray(cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def faint_scratches(rng: Generator, image: Image) -> Drawn:
    """One to five hair lines across the whole image, hardly brighter or darker than their surroundings."""
    size = len(image)
    masks: list[BoolArray] = []
    heading = rng.uniform(0, np.pi)
    for _ in range(int(rng.integers(1, 6))):
        turn = heading + rng.normal(0, 0.05) if rng.random() < 0.7 else rng.uniform(0, np.pi)
        ahead = np.array([np.cos(turn), np.sin(turn)])
        along = np.linspace(-1.5, 1.5, 48)[:, None] * size
        sway = np.cumsum(rng.normal(0, 1, 48))[:, None] * rng.uniform(0, 0.004) * size
        line = stroke(size, anywhere(rng, size) + along * ahead + sway * ahead[::-1] * [-1, 1], rng.uniform(1, 3.4))
        broken = np.clip(0.8 + rng.uniform(0, 0.6) * rugged(rng, size, 24), 0.15, 1.5)
        step = np.sign(rng.normal()) * rng.uniform(0.04, 0.14) + 0.5 * shift(rng, image, 0.3, 1.2)
        image = add(image, cv2.GaussianBlur(line, (0, 0), rng.uniform(0.4, 0.9)) * broken, float(step))
        masks.append(generous(rng, line > 0.3))
    return image, masks


def scuff(rng: Generator, image: Image) -> Drawn:
    """Draw a rubbed place: dozens of short parallel scratches, outlined as one region."""
    size = len(image)
    reach = size * rng.uniform(0.04, 0.18)
    centre, heading = anywhere(rng, size), rng.uniform(0, np.pi)
    ahead, aside = np.array([np.cos(heading), np.sin(heading)]), np.array([-np.sin(heading), np.cos(heading)])
    lines: Map = np.zeros((size, size), np.float32)
    for _ in range(int(rng.integers(12, 50))):
        middle = centre + ahead * rng.normal(0, reach / 2) + aside * rng.normal(0, reach / 4)
        half = ahead * reach * rng.uniform(0.2, 0.9) + aside * reach * rng.normal(0, 0.04)
        lines = np.maximum(lines, rng.uniform(0.3, 1) * stroke(size, np.stack([middle - half, middle + half]), 1))
    soft = cv2.GaussianBlur(lines, (0, 0), rng.uniform(0.4, 0.9))
    width = 2 * int(reach * 0.1 + 2) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    region = cv2.morphologyEx((lines > 0.2).astype(np.uint8), cv2.MORPH_CLOSE, kernel) > 0
    image = add(image, blur(region.astype(np.float32), 2.0), 0.3 * shift(rng, image, 0.3, 1))
    return add(image, soft, shift(rng, image, 1, 4)), [region]


def soft_stain(rng: Generator, image: Image) -> Drawn:
    """One or two clouds without an edge: oil, water, heat, fingers; the mask ends where half of the colour is gone."""
    size = len(image)
    masks: list[BoolArray] = []
    for _ in range(int(rng.integers(1, 3))):
        radius = size * rng.uniform(0.06, 0.3)
        area = (cloud if rng.random() < 0.5 else blob)(rng, size, anywhere(rng, size), radius)
        soft = blur(area, radius * rng.uniform(0.05, 0.3))
        tint = np.clip(1 + rng.normal(0, 0.06, 3) + np.sign(rng.normal()) * rng.uniform(0.08, 0.4), 0.35, 1.6)
        strength = soft
        if rng.random() < 0.4:
            # A dried drop is strongest along its rim.
            strength = soft * rng.uniform(0.3, 0.7) + 1.6 * np.clip(soft - soft**2, 0, 1)
        strength = strength * np.clip(1 + rng.uniform(0, 0.3) * rugged(rng, size, radius / 3), 0.3, 1.6)
        image = np.asarray(image * (1 + strength[..., None] * (tint - 1)), np.float32)
        masks.append(soft > 0.5)
    return image, masks


def shading(rng: Generator, image: Image) -> Drawn:
    """Draw a stripe or region that only has another brightness: uneven coating, pressure, grinding, light."""
    size = len(image)
    if rng.random() < 0.5:
        points = curve(rng, anywhere(rng, size), 3.0 * size, rng.uniform(0, 0.1))
        area = stroke(size, points, size * rng.uniform(0.03, 0.25))
    else:
        area = blob(rng, size, anywhere(rng, size), size * rng.uniform(0.1, 0.4))
    soft = blur(area, size * rng.uniform(0.004, 0.04))
    step = np.sign(rng.normal()) * rng.uniform(0.04, 0.2)
    slope = 1 + rng.uniform(0, 0.5) * soft_light(rng, size)
    return add(image, soft * slope, float(step)), [soft > 0.5]


def pores(rng: Generator, image: Image) -> Drawn:
    """Draw five to fifty round holes, most tiny, in a cloud or everywhere, dark inside and lit on one flank."""
    size = len(image)
    centre, spread = anywhere(rng, size), size * rng.uniform(0.05, 0.5)
    typical = size * rng.uniform(0.004, 0.014)
    canvas = np.zeros((size, size), np.uint8)
    for _ in range(int(rng.integers(5, 51))):
        x, y = (16 * (centre + rng.normal(0, spread, 2))).astype(int)
        radius = int(16 * np.clip(typical * rng.lognormal(0, 0.5), 1.2, 0.05 * size))
        axes = (radius, max(16, int(radius * rng.uniform(0.6, 1))))
        cv2.ellipse(canvas, (int(x), int(y)), axes, rng.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA, 4)
    holes = canvas.astype(np.float32) / 255
    soft = cv2.GaussianBlur(holes, (0, 0), rng.uniform(0.4, 1.2))
    rim = np.clip(np.roll(soft, tuple(rng.choice([-2, -1, 1, 2], 2)), (0, 1)) - soft, 0, 1)
    step = -abs(shift(rng, image, 1.5, 4))
    image = add(add(image, soft, step), rim, abs(step) * rng.uniform(0, 1))
    return image, components(holes > 0.5)


def frays(rng: Generator, image: Image) -> Drawn:
    """Draw a bundle of loose fibres or hairs that cross each other, outlined together or one by one."""
    size = len(image)
    root, heading = anywhere(rng, size), rng.uniform(0, 2 * np.pi)
    together = rng.random() < 0.6
    reach = size * rng.uniform(0.06, 0.35)
    colour = np.clip(image.mean((0, 1)) + rng.choice([-1, 1]) * rng.uniform(0.15, 0.5), 0.02, 0.98)
    masks: list[BoolArray] = []
    everything: Map = np.zeros((size, size), np.float32)
    for _ in range(int(rng.integers(6, 20)) if together else int(rng.integers(1, 5))):
        path = curve(rng, np.zeros(2), reach * rng.uniform(0.4, 1.2), rng.uniform(0.3, 1))
        turn = heading + rng.normal(0, 0.5)
        path = (path - path[0]) @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        fibre = stroke(size, root + rng.normal(0, 0.03 * reach, 2) + path, rng.uniform(1, 3.4))
        shadow = np.roll(cv2.GaussianBlur(fibre, (0, 0), 1.5), (2, 1), (0, 1))
        image = image * (1 - 0.25 * shadow[..., None])
        soft = cv2.GaussianBlur(fibre, (0, 0), 0.5)[..., None]
        image = image + soft * (colour * rng.uniform(0.85, 1.15) - image)
        everything = np.maximum(everything, fibre)
        masks.append(generous(rng, fibre > 0.35))
    return np.asarray(image, np.float32), [everything > 0.35] if together else masks


def other_skin(rng: Generator, image: Image, below: Image) -> Drawn:
    """Let the surface `below` show through in ragged places: rust, worn paint, a missing coat, a repair."""
    size = len(image)
    area: Map = np.zeros((size, size), np.float32)
    for _ in range(int(rng.integers(1, 6))):
        shape = cloud if rng.random() < 0.6 else blob
        area = np.maximum(area, shape(rng, size, anywhere(rng, size), size * rng.uniform(0.03, 0.22)))
    ragged = np.clip(area + rng.uniform(0, 0.5) * rugged(rng, size, rng.uniform(4, 14)) * (area > 0.02), 0, 1)
    soft = cv2.GaussianBlur(ragged, (0, 0), rng.uniform(0.4, 2))
    edge = np.clip(np.roll(soft, (1, 1), (0, 1)) - soft, -1, 1)
    image = image + (soft * rng.uniform(0.7, 1))[..., None] * (below - image)
    return add(np.asarray(image, np.float32), edge, rng.uniform(-0.4, 0.4)), components(soft > 0.5)


def dirt(rng: Generator, image: Image) -> Drawn:
    """Strew grains and chips of something else, lit and with small shadows: dust, swarf, crumbs."""
    size = len(image)
    masks: list[BoolArray] = []
    typical = size * rng.uniform(0.006, 0.03)
    grain = speckle(rng, size)
    for _ in range(int(rng.integers(1, 14))):
        shape = blob(rng, size, anywhere(rng, size), max(2.5, typical * rng.lognormal(0, 0.4)))
        image = image * (1 - 0.35 * cv2.GaussianBlur(np.roll(shape, (2, 2), (0, 1)), (0, 0), 1.5)[..., None])
        colour = np.clip(rng.uniform(0.05, 0.95) + rng.normal(0, 0.05, 3), 0, 1) + 0.06 * grain[..., None]
        image = image + cv2.GaussianBlur(shape, (0, 0), 0.6)[..., None] * (colour - image)
        masks.append(shape > 0.5)
    return np.asarray(image, np.float32), masks


MARKS: tuple[Callable[[Generator, Image], Drawn], ...] = (
    faint_scratches,
    faint_scratches,
    scuff,
    soft_stain,
    soft_stain,
    shading,
    shading,
    pores,
    frays,
    dirt,
)
