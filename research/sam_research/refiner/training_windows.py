"""Training windows: a part of an image, targets in it, and the wrong masks that clicks start from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, ImageArray
from sam_backend.finetune.refiner.accepted_chains import usable_objects
from sam_backend.masks import mask_box
from sam_backend.segmenters.refiner.guidance import WINDOW
from sam_backend.segmenters.refiner.placing import thickness
from sam_backend.segmenters.refiner.resampling import Square
from sam_research.refiner.tasks import TaskMix, draw_task, draw_thin_task

_LEAST_AREA = 30
_MOST_SHARE = 0.7
_THIN = 12.0
_LONG = 6.0

ReadAnswers = Callable[[Square], Mapping[int, Sequence[BoolArray]]]
"""A function that returns a model's answers for the objects of an image in a window, by the object's index."""


@dataclass(frozen=True, eq=False)
class Windows:
    """W windows, and P tasks in each.

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

    @classmethod
    def joined(cls, windows: Sequence[Windows]) -> Windows:
        """Return the windows of several batches as one."""
        return cls(
            *(
                np.concatenate([getattr(one, name) for one in windows])
                for name in ("pixels", "targets", "masks", "clicked")
            )
        )


def make_window(
    rng: Generator,
    mix: TaskMix,
    image: ImageArray,
    masks: BoolArray,
    read_answers: ReadAnswers,
    alter: Callable[[Generator, NDArray[np.uint8]], NDArray[np.uint8]],
) -> Windows | None:
    """Return a random window of an image, turned and flipped; None if the object that was drawn does not fit into it.

    Parameters
    ----------
    rng : Generator.
    mix : TaskMix.
    image : uint8 RGB (H, W, 3).
    masks : bool (N, H, W), its objects.
    read_answers : ReadAnswers, called once.
    alter : function that shows the window's pixels in another light.
    """
    usable = usable_objects(masks) if len(masks) else np.zeros(0, np.intp)
    if not len(usable):
        return None
    first, is_local, is_thin = int(rng.choice(usable)), bool(rng.random() < mix.local_share), False
    if rng.random() < mix.thin_share:
        thin = [int(index) for index in usable if _is_thin(masks[index])]
        if thin:
            first, is_local, is_thin = int(rng.choice(thin)), True, True
    whole = masks[first]
    square = _along(rng, whole) if is_thin else _local(rng, whole) if is_local else _around(rng, whole)
    order = [first, *(int(other) for other in rng.permutation(usable)[:10] if other != first)]
    seen = [(index, square.coverage(masks[index]) > 0.5) for index in order]
    fitting = [(index, mask) for index, mask in seen if _LEAST_AREA <= mask.sum() < _MOST_SHARE * mask.size]
    if not fitting or fitting[0][0] != first:
        return None
    given = read_answers(square)
    targets, starts, clicked = [], [], []
    for task in range(mix.tasks):
        choice = 0 if task == 0 or rng.random() < 0.5 else int(rng.integers(len(fitting)))
        answers = given.get(fitting[choice][0], ())
        draw = draw_thin_task if is_thin else draw_task
        target, start, has_click = draw(rng, mix, fitting, choice, answers, is_local)
        targets.append(target)
        starts.append(start)
        clicked.append(has_click)
    turns, flips = int(rng.integers(4)), bool(rng.random() < 0.5)

    def turned(array: NDArray[Any]) -> NDArray[Any]:
        rotated: NDArray[Any] = np.rot90(array, turns, (0, 1))
        return rotated[:, ::-1] if flips else rotated

    pixels = alter(rng, np.ascontiguousarray(turned(square.pixels(image))))
    return Windows(
        pixels[None],
        np.stack([turned(mask) for mask in targets])[None],
        np.stack([turned(mask) for mask in starts])[None],
        np.array(clicked)[None],
    )


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
