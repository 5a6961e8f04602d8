"""Scenes composed from real material: surfaces with defects, parts on benches, single products, things on photographs.

Each is a pure function of its number and of the library of materials.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_research.materials.collection import Library
from sam_research.scenes.camera import inspection_camera
from sam_research.scenes.defects import Drawn, any_defect, any_surface_defect
from sam_research.scenes.layers import Image, cast_shadow, paste
from sam_research.scenes.marks import MARKS, other_skin
from sam_research.scenes.process_faults import chip, print_fault, weld
from sam_research.scenes.scene import ANOTHER, Scene
from sam_research.scenes.scene_masks import MIN_AREA, can_be_seen, pieces, settle, stands_out
from sam_research.scenes.scene_objects import Thing, cutout, shaped, twin
from sam_research.scenes.shapes import ellipse, polygon, rectangle
from sam_research.scenes.skins import scenery, surface

COMPOSITIONS = 10_000_000
"""Scenes from this number on are composed from materials."""

COMPOSITION_SIZE = 512
"""Pixels a side: what the model sees of an image at most, so that fine defects are as sharp as they will be."""

MOST_MASKS = 32


def compose(number: int, library: Library) -> Scene:
    """Return scene `number`: of 20, nine surfaces with defects, three parts on a bench, three products, five photos."""
    rng = np.random.default_rng([number, 20_262])
    choice = int(rng.integers(20))
    kind = _surface if choice < 9 else _bench if choice < 12 else _product if choice < 15 else _natural
    grey = bool(rng.random() < (0.25 if kind is _natural else 0.55))
    image, masks = kind(rng, library, grey)
    picture = inspection_camera(rng, image, grey)
    kept = [mask for whole in masks for mask in pieces(rng, whole) if can_be_seen(picture, mask)]
    if not kept:
        return compose(number + ANOTHER, library)
    if len(kept) > MOST_MASKS:
        kept = [kept[index] for index in np.sort(rng.permutation(len(kept))[:MOST_MASKS])]
    return Scene(picture, np.stack(kept))


def _draw_defect(rng: Generator, library: Library, image: Image, grey: bool) -> Drawn:
    """Draw a kind of defect, and keep only the masks of what can be told from the texture below it."""
    drawn, masks = _kind_of_defect(rng, library, grey)(rng, image)
    return drawn, [mask for mask in masks if stands_out(image, drawn, mask)]


def _kind_of_defect(rng: Generator, library: Library, grey: bool) -> Callable[[Generator, Image], Drawn]:
    choice = rng.random()
    if choice < 0.45:
        return MARKS[rng.integers(len(MARKS))]
    if choice < 0.62:
        return any_surface_defect
    if choice < 0.77:
        return any_defect
    if choice < 0.87:
        below = surface(rng, library, COMPOSITION_SIZE, grey)
        return lambda rng, image: other_skin(rng, image, below)
    return weld if choice < 0.92 else print_fault


def _surface(rng: Generator, library: Library, grey: bool) -> Drawn:
    """One surface that fills the picture, with one to three kinds of defects; sometimes with a seam or an insert."""
    image = surface(rng, library, COMPOSITION_SIZE, grey)
    masks: list[BoolArray] = []
    if rng.random() < 0.15:
        image, masks = _put(rng, image, masks, _twin_or_insert(rng, library, image, grey), 60)
    for _ in range(int(rng.choice([1, 1, 2, 2, 3]))):
        image, drawn = _draw_defect(rng, library, image, grey)
        masks += drawn
    return image, masks


def _twin_or_insert(rng: Generator, library: Library, image: Image, grey: bool) -> Thing:
    centre, radius = _somewhere(rng), COMPOSITION_SIZE * rng.uniform(0.06, 0.3)
    if rng.random() < 0.7:
        return twin(rng, image, centre, radius)
    return shaped(rng, library, COMPOSITION_SIZE, centre, radius, grey)


def _bench(rng: Generator, library: Library, grey: bool) -> Drawn:
    """Parts, tools and look-alikes lie on a surface; some surfaces have a defect too."""
    image = surface(rng, library, COMPOSITION_SIZE, grey)
    masks: list[BoolArray] = []
    background = image
    largest = rng.uniform(0.1, 0.4)
    for _ in range(int(rng.integers(2, 9))):
        centre, radius = _somewhere(rng), COMPOSITION_SIZE * rng.uniform(0.04, largest)
        choice = rng.random()
        if choice < 0.2:
            thing = twin(rng, background, centre, radius)
        elif choice < 0.65:
            thing = cutout(rng, library, COMPOSITION_SIZE, centre, radius, grey)
        else:
            thing = shaped(rng, library, COMPOSITION_SIZE, centre, radius, grey)
        image, masks = _put(rng, image, masks, thing, radius)
    if rng.random() < 0.3:
        image, drawn = _draw_defect(rng, library, image, grey)
        masks += drawn
    return image, masks


def _natural(rng: Generator, library: Library, grey: bool) -> Drawn:
    """Cut-outs, and shapes cut from other photographs, on a photograph, the later ones in front."""
    image = scenery(rng, library, COMPOSITION_SIZE, grey)
    masks: list[BoolArray] = []
    largest = rng.uniform(0.12, 0.5)
    for _ in range(int(rng.integers(1, 8))):
        centre, radius = _somewhere(rng), COMPOSITION_SIZE * rng.uniform(0.05, largest)
        make = cutout if rng.random() < 0.8 else shaped
        image, masks = _put(rng, image, masks, make(rng, library, COMPOSITION_SIZE, centre, radius, grey), radius)
    return image, masks


def _product(rng: Generator, library: Library, grey: bool) -> Drawn:
    """One workpiece before an even or real background, with defects of its own and chipped edges."""
    size = COMPOSITION_SIZE
    behind = surface(rng, library, size, grey)
    if rng.random() < 0.5:
        flat = np.full(3, rng.choice([rng.uniform(0, 0.15), rng.uniform(0.3, 0.95)]))
        behind = np.asarray(flat + 0.15 * (behind - behind.mean((0, 1))), np.float32)
    radius = size * rng.uniform(0.25, 0.6)
    shape = (ellipse, rectangle, rectangle, polygon)[rng.integers(4)]
    coverage = shape(rng, size, size / 2 + rng.normal(0, 0.1 * size, 2), radius)
    skin = surface(rng, library, size, grey)
    drawn: list[BoolArray] = []
    for _ in range(int(rng.choice([1, 1, 2]))):
        skin, new = _draw_defect(rng, library, skin, grey)
        drawn += new
    image = paste(rng, cast_shadow(rng, behind, coverage, radius), coverage, skin)
    chips: list[BoolArray] = []
    if rng.random() < 0.5:
        image, coverage, chips = chip(rng, image, coverage, behind, radius)
    whole = coverage > 0.5
    return image, [whole, *(mask & whole for mask in drawn), *chips]


def _put(
    rng: Generator, image: Image, masks: list[BoolArray], thing: Thing, radius: float
) -> tuple[Image, list[BoolArray]]:
    whole = thing.coverage > 0.5
    if whole.sum() < MIN_AREA:
        return image, masks
    image = paste(rng, cast_shadow(rng, image, thing.coverage, radius), thing.coverage, thing.skin)
    return image, settle(masks, [whole]) + [part & whole for part in thing.parts]


def _somewhere(rng: Generator) -> NDArray[np.float64]:
    return rng.uniform(0.02, 0.98, 2) * COMPOSITION_SIZE
