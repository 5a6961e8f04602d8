"""Surface defects drawn onto an image: each returns the changed image and the masks a careful annotator would draw."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_research.scenes.layers import Image
from sam_research.scenes.scene_masks import components
from sam_research.scenes.shapes import blob, cloud, curve, fill, stroke
from sam_research.scenes.textures import Map, any_texture, colourise, fractal_noise, speckle

Drawn = tuple[Image, list[BoolArray]]


def anywhere(rng: Generator, size: int) -> NDArray[np.float64]:
    """Return a point (2,) xy in an image of `size` pixels, not quite at its edge."""
    return rng.uniform(0.02, 0.98, 2) * size


def shift(rng: Generator, image: Image, weak: float = 1.0, strong: float = 4.5) -> float:
    """Return a signed brightness step that stands out of the image's own fine variation `weak` to `strong` times."""
    grey = image.mean(2)
    fine = float((grey - cv2.GaussianBlur(grey, (0, 0), 4)).std())
    step = fine * rng.uniform(weak, strong) + rng.uniform(0.03, 0.12)
    darker = rng.random() < np.clip(grey.mean() * 1.3, 0.15, 0.85)
    return -step if darker else step


def add(image: Image, coverage: Map, step: float | Map) -> Image:
    """Return `image` made brighter by `step` where `coverage` is."""
    return np.asarray(image + (coverage * step)[..., None], np.float32)


def generous(rng: Generator, mask: BoolArray) -> BoolArray:
    """Widen a thin mask now and then: people outline a defect, they do not trace its darkest core."""
    reach = int(rng.choice([0, 0, 1, 1, 2]))
    if not reach:
        return mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


def scratches(rng: Generator, image: Image) -> Drawn:
    """One to six thin strokes, bright or dark, short or across the whole image, often parallel."""
    size = len(image)
    masks = []
    heading_together = rng.random() < 0.5
    angle = rng.uniform(0, np.pi) if rng.random() < 0.5 else rng.choice([0.0, np.pi / 2])
    bend = rng.uniform(0, 0.15)
    for _ in range(int(rng.integers(1, 7))):
        length = size * rng.choice([rng.uniform(0.08, 0.5), rng.uniform(0.5, 1.6)])
        points = curve(rng, anywhere(rng, size), length, bend)
        if heading_together:
            centre = points[32]
            now = np.arctan2(*(points[-1] - points[0])[::-1])
            turn = angle - now + rng.normal(0, 0.06)
            cosine, sine = np.cos(turn), np.sin(turn)
            points = (points - centre) @ np.array([[cosine, sine], [-sine, cosine]]) + centre
        width = float(rng.choice([rng.uniform(1, 3), rng.uniform(2, 9)]))
        line = stroke(size, points, width)
        soft = cv2.GaussianBlur(line, (0, 0), 0.3 + 0.18 * width)
        step = shift(rng, image)
        rough = 1 + rng.uniform(0, 0.6) * fractal_noise(rng, size, 0.7, 16)
        image = add(image, soft, step * np.clip(rough, 0.2, 2))
        if rng.random() < 0.25:
            image = add(image, np.roll(soft, int(rng.choice([-2, 2])), 0), -0.6 * step)
        masks.append(generous(rng, line > 0.35))
    return image, masks


def crack(rng: Generator, image: Image) -> Drawn:
    """Draw a jagged dark line that branches."""
    size = len(image)
    line: Map = np.zeros((size, size), np.float32)
    starts = [(anywhere(rng, size), rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 1.2) * size, rng.uniform(1.0, 4.5))]
    jagged = rng.uniform(0.15, 0.6)
    while starts:
        point, heading, left, width = starts.pop()
        path = [point]
        while left > 0:
            pace = rng.uniform(4, 14)
            heading += rng.normal(0, jagged)
            point = point + pace * np.array([np.cos(heading), np.sin(heading)])
            path.append(point)
            left -= pace
            if rng.random() < 0.04 and len(starts) < 3:
                starts.append((point, heading + rng.choice([-1, 1]) * rng.uniform(0.4, 1.1), left * 0.5, width * 0.7))
        if len(path) > 1:
            line = np.maximum(line, stroke(size, np.array(path), width))
    soft = cv2.GaussianBlur(line, (0, 0), rng.uniform(0.4, 1.2))
    step = -abs(shift(rng, image, 1.5, 5))
    return add(image, soft, step), [generous(rng, line > 0.35)]


def pits(rng: Generator, image: Image) -> Drawn:
    """One to a dozen small dark holes, or bright spatters, some with a lit rim."""
    size = len(image)
    masks = []
    typical = size * rng.choice([rng.uniform(0.008, 0.03), rng.uniform(0.03, 0.09)])
    for _ in range(int(rng.integers(1, 13))):
        radius = max(2.0, typical * rng.uniform(0.5, 1.6))
        hole = blob(rng, size, anywhere(rng, size), radius)
        soft = cv2.GaussianBlur(hole, (0, 0), 0.3 + radius * rng.uniform(0.03, 0.3))
        step = shift(rng, image, 1.5, 5)
        image = add(image, soft, step)
        if rng.random() < 0.4:
            moved = np.roll(soft, tuple(rng.integers(-2, 3, 2)), (0, 1))
            image = add(image, np.clip(moved - soft, 0, 1), abs(step) * rng.uniform(0.5, 1.5))
        masks.append(generous(rng, hole > 0.5))
    return image, masks


def stain(rng: Generator, image: Image) -> Drawn:
    """One to three soft or ragged regions that darken, brighten or tint what is below."""
    size = len(image)
    masks = []
    for _ in range(int(rng.integers(1, 4))):
        radius = size * rng.uniform(0.05, 0.35)
        shape = cloud if rng.random() < 0.6 else blob
        area = shape(rng, size, anywhere(rng, size), radius)
        soft = cv2.GaussianBlur(area, (0, 0), rng.uniform(0.5, 0.12 * radius + 0.6))
        tint = np.clip(1 + rng.normal(0, 0.05, 3) + np.sign(rng.normal()) * rng.uniform(0.12, 0.5), 0.3, 1.7)
        image = image * (1 + soft[..., None] * (tint.astype(np.float32) - 1))
        masks.append(soft > 0.5)
    return np.asarray(image, np.float32), masks


def patch(rng: Generator, image: Image) -> Drawn:
    """One to five regions where another, rougher surface shows: scale, rust, missing coating, roll marks."""
    size = len(image)
    centre = float(np.clip(image.mean() + shift(rng, image, 1, 4), 0.05, 0.95))
    other = colourise(rng, any_texture(rng, size), True, centre)
    together: Map = np.zeros((size, size), np.float32)
    for _ in range(int(rng.integers(1, 6))):
        radius = size * rng.uniform(0.04, 0.3)
        shape = cloud if rng.random() < 0.7 else blob
        area = shape(rng, size, anywhere(rng, size), radius)
        together = np.maximum(together, area)
    alpha = cv2.GaussianBlur(together, (0, 0), rng.uniform(0.4, 3)) * rng.uniform(0.6, 1)
    masks = components(together > 0.5)[:11]
    return np.asarray(image + alpha[..., None] * (other - image), np.float32), masks


def inclusion(rng: Generator, image: Image) -> Drawn:
    """Elongated clumps of specks along one direction: slag, oil, pressed-in scale; outlined as one region each."""
    size = len(image)
    masks = []
    heading = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    along = np.array([np.cos(heading), np.sin(heading)])
    for _ in range(int(rng.integers(1, 5))):
        centre = anywhere(rng, size)
        length, spread = size * rng.uniform(0.06, 0.5), size * rng.uniform(0.006, 0.04)
        specks: Map = np.zeros((size, size), np.float32)
        for _ in range(int(rng.integers(6, 40))):
            across = np.array([-along[1], along[0]]) * rng.normal(0, spread)
            spot = centre + along * rng.normal(0, length / 3.5) + across
            radius = spread * rng.uniform(0.4, 1.4) + 1
            axes = np.stack([along * radius * rng.uniform(1, 5), np.array([-along[1], along[0]]) * radius])
            ring = np.linspace(0, 2 * np.pi, 20)
            specks = np.maximum(specks, fill(size, spot + np.stack([np.cos(ring), np.sin(ring)], 1) @ axes))
        soft = cv2.GaussianBlur(specks, (0, 0), rng.uniform(0.4, 1.8))
        rough = np.clip(1 + rng.uniform(0, 0.5) * speckle(rng, size), 0.3, 2)
        image = add(image, soft, rough * shift(rng, image, 1.5, 5))
        reach = 2 * int(spread + 2) + 1
        closed = cv2.morphologyEx(specks, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
        masks.append(generous(rng, closed > 0.5))
    return image, masks


def specks(rng: Generator, image: Image) -> Drawn:
    """Draw three to thirty small blots in rows along one direction, each outlined by itself unless they touch."""
    size = len(image)
    heading = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    ahead, aside = np.array([np.cos(heading), np.sin(heading)]), np.array([-np.sin(heading), np.cos(heading)])
    typical = size * rng.uniform(0.005, 0.03)
    stretch = rng.uniform(1, 6)
    ring = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    drawn: Map = np.zeros((size, size), np.float32)
    rows = [anywhere(rng, size) for _ in range(int(rng.integers(1, 4)))]
    for _ in range(int(rng.integers(3, 31))):
        row = rows[rng.integers(len(rows))]
        spot = row + ahead * rng.normal(0, 0.25 * size) + aside * rng.normal(0, 0.02 * size)
        radius = max(1.5, typical * rng.uniform(0.4, 1.6))
        wobble = np.clip(1 + rng.normal(0, 0.15, len(ring)), 0.5, 1.5)
        outline = np.stack([np.cos(ring) * radius * stretch * rng.uniform(0.5, 1.5), np.sin(ring) * radius], 1)
        drawn = np.maximum(drawn, fill(size, spot + outline * wobble[:, None] @ np.stack([ahead, aside])))
    soft = cv2.GaussianBlur(drawn, (0, 0), 0.4 + typical * rng.uniform(0.03, 0.25))
    uneven = np.clip(1 + rng.uniform(0, 0.6) * fractal_noise(rng, size, 0.8, 12), 0.3, 2)
    masks = components(soft > 0.45)
    return add(image, soft, uneven * shift(rng, image, 1, 5)), masks


def dent(rng: Generator, image: Image) -> Drawn:
    """Draw a bump or hollow that shows only by its shading: bright on one flank, dark on the other."""
    size = len(image)
    radius = size * rng.uniform(0.04, 0.25)
    area = blob(rng, size, anywhere(rng, size), radius)
    height = cv2.GaussianBlur(area, (0, 0), radius * rng.uniform(0.15, 0.4))
    angle = rng.uniform(0, 2 * np.pi)
    slope_y, slope_x = np.gradient(height)
    shading = (slope_x * np.cos(angle) + slope_y * np.sin(angle)).astype(np.float32)
    shading *= rng.uniform(0.1, 0.4) / (np.abs(shading).max() + 1e-6)
    return np.asarray(image + shading[..., None], np.float32), [cv2.GaussianBlur(area, (0, 0), radius * 0.1) > 0.4]


def broken_edge(rng: Generator, image: Image) -> Drawn:
    """Draw a bite out of the side of the part, through which the background shows."""
    size = len(image)
    side, along = int(rng.integers(4)), rng.uniform(0.1, 0.9) * size
    centre = np.array([(along, 0.0), (along, size), (0.0, along), (size, along)][side])
    area = (blob if rng.random() < 0.5 else cloud)(rng, size, centre, size * rng.uniform(0.05, 0.3))
    below = colourise(rng, any_texture(rng, size), True, float(rng.choice([rng.uniform(0, 0.2), rng.uniform(0.7, 1)])))
    alpha = cv2.GaussianBlur(area, (0, 0), rng.uniform(0.4, 1.5))
    return np.asarray(image + alpha[..., None] * (below - image), np.float32), [area > 0.5]


def band(rng: Generator, image: Image) -> Drawn:
    """Draw a wide faint band or large soft region of uneven brightness."""
    size = len(image)
    centre = anywhere(rng, size)
    if rng.random() < 0.5:
        area = stroke(size, curve(rng, centre, size * 2, 0.05), size * rng.uniform(0.05, 0.25))
    else:
        area = blob(rng, size, centre, size * rng.uniform(0.2, 0.5))
    soft = cv2.GaussianBlur(area, (0, 0), rng.uniform(2, 12))
    return add(image, soft, shift(rng, image, 0.8, 2.5)), [soft > 0.5]


def streaks(rng: Generator, image: Image) -> Drawn:
    """Draw one to eight tapering streaks along one direction, hair-thin or wide, short or across the whole image."""
    size = len(image)
    masks = []
    heading = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    typical = rng.choice([rng.uniform(2, 6), rng.uniform(5, 20), rng.uniform(5, 20), rng.uniform(15, 50)])
    glare = rng.choice([1.0, 1.0, rng.uniform(1, 4)])
    for _ in range(int(rng.integers(1, 9))):
        reaches = [rng.uniform(0.04, 0.2), rng.uniform(0.2, 0.6), rng.uniform(0.6, 1.5), rng.uniform(2, 3)]
        length = size * rng.choice(reaches)
        width = min(typical * rng.uniform(0.6, 1.6), length / 2)
        along = np.linspace(-1, 1, 48)
        taper = (1 - along**2) ** rng.choice([0.1, 0.5, rng.uniform(0.5, 1.5)])
        rough = np.convolve(rng.normal(0, rng.uniform(0, 0.8), 52), np.ones(5) / 5, "valid")
        half = 0.5 * width * taper * np.clip(1 + rough, 0.3, 2)
        drift = np.cumsum(rng.normal(0, 0.03, 48)) * width
        turn = heading + rng.normal(0, 0.04)
        ahead, aside = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
        spine = anywhere(rng, size) + along[:, None] * ahead * length / 2 + drift[:, None] * aside
        outline = np.concatenate([spine + half[:, None] * aside, (spine - half[:, None] * aside)[::-1]])
        area = fill(size, outline)
        soft = cv2.GaussianBlur(area, (0, 0), 0.4 + width * rng.uniform(0.02, 0.2))
        uneven = np.clip(1 + rng.uniform(0, 0.5) * fractal_noise(rng, size, 0.8, 8), 0.3, 2)
        image = np.clip(add(image, soft, uneven * glare * shift(rng, image, 1, 5)), 0, 1)
        masks.append(soft > 0.4)
    return image, masks if rng.random() < 0.3 else components(np.any(masks, 0))


def blotches(rng: Generator, image: Image) -> Drawn:
    """Draw one to six large ragged regions, each grown from a chain of blobs, grainy inside, often with a halo."""
    size = len(image)
    field: Map = np.full((size, size), -1.0, np.float32)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    typical = size * rng.uniform(0.04, 0.14)
    for _ in range(int(rng.integers(1, 7))):
        spot, heading = anywhere(rng, size), rng.uniform(0, 2 * np.pi)
        for _ in range(int(rng.integers(1, 6))):
            radius = typical * rng.uniform(0.5, 1.4)
            field = np.maximum(field, 1 - np.hypot(x - spot[0], y - spot[1]) / radius)
            heading += rng.normal(0, 0.6)
            spot = spot + radius * rng.uniform(0.6, 1.5) * np.array([np.cos(heading), np.sin(heading)])
    ragged = rng.uniform(0.1, 0.4) * fractal_noise(rng, size, rng.uniform(0.8, 1.5), int(rng.integers(6, 24)))
    soft = np.clip(0.5 + rng.uniform(2, 12) * (field + ragged), 0, 1)
    inside = soft if rng.random() < 0.5 else np.maximum(soft, 0.4 * np.clip(1 + 0.7 * field, 0, 1))
    grain = np.clip(1 + rng.uniform(0, 0.3) * speckle(rng, size) + 0.2 * fractal_noise(rng, size, 1, 8), 0.2, 2)
    changed = np.clip(add(image, inside, grain * rng.uniform(1, 3) * shift(rng, image, 1, 4)), 0, 1)
    return np.asarray(changed, np.float32), components(soft > 0.5)


DEFECTS: tuple[Callable[[Generator, Image], Drawn], ...] = (
    scratches,
    scratches,
    crack,
    pits,
    pits,
    stain,
    patch,
    patch,
    inclusion,
    inclusion,
    dent,
    broken_edge,
    band,
)


SURFACE_DEFECTS = (
    streaks,
    streaks,
    streaks,
    streaks,
    scratches,
    specks,
    specks,
    specks,
    pits,
    crack,
    blotches,
    blotches,
    patch,
    stain,
)
"""What surfaces mostly have: marks of the process, and specks and blotches in numbers."""


def any_surface_defect(rng: Generator, image: Image) -> Drawn:
    """Draw a random kind of defect that rolled, ground or cast surfaces mostly have onto `image` (size, size, 3)."""
    return SURFACE_DEFECTS[rng.integers(len(SURFACE_DEFECTS))](rng, image)


def any_defect(rng: Generator, image: Image) -> Drawn:
    """Draw a random kind of defect onto `image` (size, size, 3)."""
    return DEFECTS[rng.integers(len(DEFECTS))](rng, image)
