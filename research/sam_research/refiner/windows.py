"""Training windows: a part of a scene, targets in it, and the wrong masks that clicks start from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_backend.masks import mask_box
from sam_backend.segmenters.refiner.guidance import WINDOW, border_distance
from sam_backend.segmenters.refiner.placing import thickness
from sam_backend.segmenters.refiner.resampling import Square
from sam_research.augmentation import photometric
from sam_research.refiner.model_answers import load_answers
from sam_research.refiner.refiner_recipe import RefinerRecipe
from sam_research.refiner.spoiling import any_region, as_drawn, cut, spoil
from sam_research.scenes.scene_store import load_scene

_LEAST_AREA = 30
_THIN = 12.0
_LONG = 6.0
_MOST_SHARE = 0.7


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of scenes, and P tasks in each.

    Attributes
    ----------
    pixels : (W, S, S, 3) uint8 RGB.
    targets : (W, P, S, S) bool.
    masks : (W, P, S, S) bool, what the clicks correct.
    clicked : (W, P) bool, whether the annotator has clicked; False asks for the best mask without a click.
    """

    pixels: NDArray[np.uint8]
    targets: NDArray[np.bool_]
    masks: NDArray[np.bool_]
    clicked: NDArray[np.bool_]


class WindowBatches(torch.utils.data.IterableDataset[Windows]):
    """The batches of a training; batch n is a function of (seed, n), so a resumed training gets the same ones.

    Parameters
    ----------
    recipe : RefinerRecipe.
    scenes : Path, the folder of scenes.
    answers : Path or None, the folder of a model's answers on them.
    start : int, the first batch.
    """

    def __init__(self, recipe: RefinerRecipe, scenes: Path, answers: Path | None, start: int) -> None:
        self.recipe, self.scenes, self.answers, self.start = recipe, scenes, answers, start

    def __iter__(self) -> Iterator[Windows]:
        """Yield the batches from `start` on; with several workers, each yields its share."""
        info = torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        cv2.setNumThreads(1)
        for step in range(self.start + worker, self.recipe.steps, workers):
            rng = np.random.default_rng([self.recipe.seed, step])
            numbers = (self.recipe.scene_number(rng) for _ in iter(int, 1))
            yield make_windows(rng, self.recipe, self.scenes, self.answers, numbers)


def make_windows(
    rng: Generator, recipe: RefinerRecipe, scenes: Path, answers: Path | None, numbers: Iterator[int]
) -> Windows:
    """Return a batch of `recipe.windows` windows, each of one of the scenes of these numbers."""
    made: list[tuple[NDArray[np.uint8], BoolArray, BoolArray, BoolArray]] = []
    while len(made) < recipe.windows:
        window = _window(rng, recipe, scenes, answers, next(numbers))
        if window is not None:
            made.append(window)
    pixels, targets, masks, clicked = (np.stack(arrays) for arrays in zip(*made, strict=True))
    return Windows(pixels, targets, masks, clicked)


def _window(
    rng: Generator, recipe: RefinerRecipe, scenes: Path, answers: Path | None, number: int
) -> tuple[NDArray[np.uint8], BoolArray, BoolArray, BoolArray] | None:
    scene = load_scene(scenes, number)
    areas = scene.masks.sum((1, 2))
    usable = np.flatnonzero((areas > 20) & (areas < 0.85 * scene.masks[0].size))
    if not len(usable):
        return None
    first, is_local, is_thin = int(rng.choice(usable)), bool(rng.random() < recipe.local_share), False
    if rng.random() < recipe.thin_share:
        thin = [int(index) for index in usable if _is_thin(scene.masks[index])]
        if thin:
            first, is_local, is_thin = int(rng.choice(thin)), True, True
    whole = scene.masks[first]
    square = _along(rng, whole) if is_thin else _local(rng, whole) if is_local else _around(rng, whole)
    order = [first, *(int(other) for other in rng.permutation(usable)[:10] if other != first)]
    seen = [(index, square.coverage(scene.masks[index]) > 0.5) for index in order]
    fitting = [(index, mask) for index, mask in seen if _LEAST_AREA <= mask.sum() < _MOST_SHARE * mask.size]
    if not fitting or fitting[0][0] != first:
        return None
    given = load_answers(answers, number, square) if answers is not None else {}
    targets, masks, clicked = [], [], []
    for task in range(recipe.tasks):
        choice = 0 if task == 0 or rng.random() < 0.5 else int(rng.integers(len(fitting)))
        answers_there = given.get(fitting[choice][0], ())
        target, mask, has_click = (_thin_task if is_thin else _task)(
            rng, recipe, fitting, choice, answers_there, is_local
        )
        targets.append(target)
        masks.append(mask)
        clicked.append(has_click)
    turns, flips = int(rng.integers(4)), bool(rng.random() < 0.5)

    def turned(array: NDArray[Any]) -> NDArray[Any]:
        rotated: NDArray[Any] = np.rot90(array, turns, (0, 1))
        return rotated[:, ::-1] if flips else rotated

    pixels = photometric(rng, np.ascontiguousarray(turned(square.pixels(scene.image))))
    return (
        pixels,
        np.stack([turned(mask) for mask in targets]),
        np.stack([turned(mask) for mask in masks]),
        np.array(clicked),
    )


def _task(
    rng: Generator,
    recipe: RefinerRecipe,
    fitting: Sequence[tuple[int, BoolArray]],
    choice: int,
    answers: Sequence[BoolArray],
    is_local: bool,
) -> tuple[BoolArray, BoolArray, bool]:
    """Return a target, the mask that is corrected, and whether the annotator clicks on it at once."""
    target = fitting[choice][1]
    if rng.random() < recipe.free_share:
        target, answers = any_region(rng, WINDOW), ()
    elif rng.random() < recipe.drawn_share:
        target = as_drawn(rng, target)
    if rng.random() < recipe.empty_share:
        return target, np.zeros_like(target), True
    if is_local and rng.random() < recipe.continued_share:
        return target, cut(rng, target), False
    if answers and rng.random() < recipe.answer_share:
        return target, answers[int(rng.integers(len(answers)))], rng.random() >= recipe.polish_share
    area = int(target.sum())
    others = [
        mask
        for index, (_, mask) in enumerate(fitting)
        if index != choice and int((mask & target).sum()) <= 0.3 * min(int(mask.sum()), area)
    ]
    mask = spoil(rng, target, others)
    near = int((mask & target).sum()) > 0.4 * int((mask | target).sum())
    return target, mask, not near or rng.random() >= recipe.polish_share


def _thin_task(
    rng: Generator,
    recipe: RefinerRecipe,
    fitting: Sequence[tuple[int, BoolArray]],
    choice: int,
    answers: Sequence[BoolArray],
    is_local: bool,
) -> tuple[BoolArray, BoolArray, bool]:
    """Return what `_task` returns for something long and thin: not there yet, ending half way, or drawn too thick."""
    kind, target = rng.random(), fitting[choice][1]
    if kind < 0.3:
        return target, np.zeros_like(target), True
    if kind < 0.55:
        return target, cut(rng, target), bool(rng.random() < 0.6)
    if kind < 0.8:
        mask = border_distance(target) + rng.uniform(0.5, 7.0) > 0
        return target, cut(rng, mask) if rng.random() < 0.3 else mask, True
    return _task(rng, recipe, fitting, choice, answers, is_local)


def _is_thin(mask: BoolArray) -> bool:
    width = thickness(mask)
    return width < _THIN and int(mask.sum()) > _LONG * width**2


def _along(rng: Generator, mask: BoolArray) -> Square:
    """Return a window around some pixel of a long thin mask, at a scale at which it can be seen well."""
    rows, columns = np.nonzero(mask)
    pixel = int(rng.integers(len(rows)))
    side = max(WINDOW * thickness(mask) / float(rng.uniform(4, 16)), 48.0)
    return _moved(rng, (float(columns[pixel]), float(rows[pixel])), side, mask.shape)


def _around(rng: Generator, mask: BoolArray) -> Square:
    """Return a window around a whole mask, a little beside it."""
    box = mask_box(mask)
    assert box is not None
    left, top, right, bottom = box
    wanted = max(right - left, bottom - top) * float(np.exp(rng.uniform(np.log(1.15), np.log(3.2))))
    side = max(wanted, rng.uniform(40, 90))
    return _moved(rng, ((left + right) / 2, (top + bottom) / 2), side, mask.shape)


def _local(rng: Generator, mask: BoolArray) -> Square:
    """Return a window around some pixel of a mask, as along a long crack."""
    rows, columns = np.nonzero(mask)
    pixel = int(rng.integers(len(rows)))
    side = float(np.exp(rng.uniform(np.log(48), np.log(256))))
    return _moved(rng, (float(columns[pixel]), float(rows[pixel])), side, mask.shape)


def _moved(rng: Generator, centre: tuple[float, float], side: float, shape: tuple[int, ...]) -> Square:
    """Return a window near a centre, moved into the image where it fits."""
    corner: list[float] = []
    for middle, length in zip(centre, shape[::-1], strict=True):
        low = middle - side / 2 + float(rng.uniform(-0.12, 0.12)) * side
        corner.append((length - side) / 2 if side >= length else min(max(low, 0.0), length - side))
    return Square(corner[0], corner[1], side)
