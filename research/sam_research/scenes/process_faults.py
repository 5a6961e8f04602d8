"""Faults of a process: weld beads and their spatter, print, chipped edges.

Each function returns the changed image and the masks a careful annotator would draw.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from sam_backend.arrays import BoolArray
from sam_research.scenes.defects import Drawn, add, anywhere
from sam_research.scenes.layers import Image
from sam_research.scenes.marks import blur, rugged
from sam_research.scenes.shapes import blob, polygon
from sam_research.scenes.textures import Map, grid


def weld(rng: Generator, image: Image) -> Drawn:
    """Draw a weld bead with its ripples and heat tint, often with pores in it, and spatter beside it."""
    size = len(image)
    x, y = grid(size)
    angle = rng.uniform(0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    middle = rng.uniform(-0.5, 0.5) + rng.uniform(0, 0.12) * np.sin(along * rng.uniform(1, 4) + rng.uniform(0, 6))
    half = rng.uniform(0.04, 0.14) * (1 + 0.12 * rugged(rng, size, size / 12))
    from_middle = (across - middle) / half
    length = rng.uniform(0.4, 1.6)
    begins = rng.uniform(-1.2, 0.3)
    inside = (np.abs(from_middle) < 1) & (along > begins) & (along < begins + length)
    bead = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 1.0)
    height = np.sqrt(np.clip(1 - from_middle**2, 0, 1))
    ripple = np.sin((along + 0.5 * half * from_middle**2) * rng.uniform(60, 160) + rugged(rng, size, 20))
    lit = rng.uniform(-0.25, 0.25) * from_middle + rng.uniform(0.03, 0.1) * ripple + 0.03 * rugged(rng, size, 2)
    metal = np.clip(rng.uniform(0.3, 0.7) + rng.uniform(0.1, 0.3) * height + lit, 0, 1)
    tint = blur(inside.astype(np.float32), 0.03 * size) * rng.uniform(0, 0.4)
    image = image * (1 - tint[..., None] * rng.uniform(0.2, 1, 3))
    skin = metal[..., None] * np.clip(rng.normal(1, 0.02, 3), 0.9, 1.1)
    image = np.asarray(image + bead[..., None] * (skin - image), np.float32)
    masks: list[BoolArray] = [inside]
    for _ in range(int(rng.integers(0, 4))):
        spots = np.argwhere(inside)
        if len(spots) < 100:
            break
        hole = blob(rng, size, spots[rng.integers(len(spots))][::-1].astype(float), size * rng.uniform(0.006, 0.02))
        image = add(image, cv2.GaussianBlur(hole, (0, 0), 0.7), -rng.uniform(0.2, 0.5))
        masks.append((hole > 0.5) & inside)
    for _ in range(int(rng.integers(0, 12))):
        ball = blob(rng, size, anywhere(rng, size), size * rng.uniform(0.005, 0.018))
        step = rng.uniform(0.1, 0.4) * rng.choice([-1, 1])
        image = add(image, cv2.GaussianBlur(ball, (0, 0), 0.7), step)
        image = add(image, np.clip(np.roll(ball, (-2, -2), (0, 1)) - ball, 0, 1), -step)
        masks.append(ball > 0.5)
    return image, masks


def print_fault(rng: Generator, image: Image) -> Drawn:
    """Print lines of text, bars or dots, and then spoil it: ink missing, a blot, a smear."""
    size = len(image)
    ink: Map = _printed(rng, size)
    colour = np.clip(rng.uniform(0, 0.25) + rng.normal(0, 0.15, 3), 0, 1)
    if image.mean() < 0.4:
        colour = 1 - colour
    centre = anywhere(rng, size)
    touched = np.argwhere(ink > 0.5)
    if len(touched):
        centre = touched[rng.integers(len(touched))][::-1].astype(float)
    area = blob(rng, size, centre, size * rng.uniform(0.02, 0.1))
    choice = rng.random()
    if choice < 0.35:
        ink = ink * (1 - area)
        fault = area > 0.5
    elif choice < 0.75:
        ink = np.maximum(ink, area * rng.uniform(0.7, 1))
        fault = area > 0.5
    else:
        length = int(size * rng.uniform(0.04, 0.15))
        kernel = np.zeros((1, 2 * length + 1), np.float32)
        kernel[0, length:] = np.linspace(1, 0, length + 1)
        local = ink * blur(area, 3.0)
        smear = np.clip(cv2.filter2D(local, -1, kernel / 12), 0, 0.9)
        ink = np.maximum(ink, smear)
        fault = smear > 0.18
    wear = np.clip(1 + rng.uniform(0, 0.25) * rugged(rng, size, 6), 0.2, 1)
    soft = cv2.GaussianBlur(ink * wear, (0, 0), rng.uniform(0.4, 0.9))[..., None] * rng.uniform(0.75, 1)
    return np.asarray(image + soft * (colour - image), np.float32), [fault]


def _printed(rng: Generator, size: int) -> Map:
    canvas = np.zeros((size, size), np.uint8)
    left, top = rng.uniform(0, 0.4, 2) * size
    choice = rng.random()
    if choice < 0.5:
        scale = rng.uniform(0.5, 2.2)
        face = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX]))
        for row in range(int(rng.integers(1, 7))):
            words = "".join(rng.choice(list("ABCDEFGHKLMNPRSTXZ0123456789 -./"), int(rng.integers(4, 14))))
            spot = (int(left), int(top + 36 * scale * (row + 1)))
            cv2.putText(canvas, words, spot, face, scale, 255, max(1, round(1.8 * scale)), cv2.LINE_AA)
    elif choice < 0.75:
        x = left
        while x < min(size, left + 0.6 * size):
            width = int(rng.integers(2, 9))
            cv2.rectangle(canvas, (int(x), int(top)), (int(x) + width, int(top + 0.25 * size)), 255, -1)
            x += width + rng.integers(2, 9)
    else:
        pitch = rng.uniform(12, 40)
        for x in np.arange(left, left + 0.5 * size, pitch):
            for y in np.arange(top, top + 0.5 * size, pitch):
                cv2.circle(canvas, (int(16 * x), int(16 * y)), int(16 * 0.3 * pitch), 255, -1, cv2.LINE_AA, 4)
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), float(rng.choice([0, 90, 180, rng.uniform(-20, 20)])), 1)
    return np.asarray(cv2.warpAffine(canvas, turn, (size, size)), np.float32) / 255


def chip(
    rng: Generator, image: Image, coverage: Map, behind: Image, radius: float
) -> tuple[Image, Map, list[BoolArray]]:
    """Break one to three pieces off the edge of the object `coverage` of about `radius` pixels.

    Returns the image, the object's coverage without them, and their masks. Either `behind` shows there, or the rough
    inside of the material; then the chip stays part of the object.
    """
    size = len(image)
    masks: list[BoolArray] = []
    for _ in range(int(rng.integers(1, 4))):
        outline = cv2.morphologyEx((coverage > 0.5).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        edge = np.argwhere(outline[2:-2, 2:-2] > 0) + 2
        if len(edge) < 20:
            break
        centre = edge[rng.integers(len(edge))][::-1].astype(float)
        shape = polygon if rng.random() < 0.5 else blob
        area = np.minimum(shape(rng, size, centre, radius * rng.uniform(0.06, 0.3)), coverage)
        soft = cv2.GaussianBlur(area, (0, 0), 0.6)[..., None]
        if rng.random() < 0.5:
            image = image + soft * (behind - image)
            coverage = np.clip(coverage - area, 0, 1)
        else:
            rough = rng.uniform(0.2, 0.9) + 0.08 * rugged(rng, size, 5) + 0.05 * rugged(rng, size, 2)
            image = image + soft * (rough[..., None] * rng.normal(1, 0.03, 3) - image)
            image = add(image, np.clip(np.roll(area, (2, 2), (0, 1)) - area, -1, 1), rng.uniform(-0.3, 0.3))
        masks.append(area > 0.5)
    return np.asarray(image, np.float32), coverage, masks
