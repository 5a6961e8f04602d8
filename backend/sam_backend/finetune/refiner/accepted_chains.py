"""Corrections on accepted images that begin with what the project's own model answers to a click or a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_backend.finetune.examples import Examples
from sam_backend.finetune.refiner.served_chain import ServedChain
from sam_backend.finetune.simulated_prompts import first_click, jittered_box
from sam_backend.masks import mask_box
from sam_backend.samples import Cropped
from sam_backend.segmenters import Prompt, Segmenter

_MOST_OBJECTS = 6
"""Objects of an image that are learnt from at most."""

_PROMPTS_PER_CALL = 4
_LEAST_PIXELS = 20
_MOST_OF_IMAGE = 0.85
_MARGIN = 1.0
_LEAST_MARGIN = 160
"""What is shown around an object and the first answer: this share of their longer side, and this many pixels at least;
so much that windows hardly ever reach beyond it."""


def usable_objects(masks: BoolArray) -> NDArray[np.intp]:
    """Return the indices of the masks (N, H, W) that can be targets: neither specks nor nearly the whole image."""
    areas = masks.sum((1, 2))
    return np.flatnonzero((areas > _LEAST_PIXELS) & (areas < _MOST_OF_IMAGE * masks[0].size))


@dataclass(frozen=True, eq=False)
class _Answered:
    """The index of an object, a click on it, and the model's answers to the click and to a box."""

    index: int
    click: tuple[float, float]
    by_click: Cropped
    by_box: Cropped


class AcceptedChains:
    """Draws objects of accepted images to be corrected. The model answers once for each image that is drawn.

    Parameters
    ----------
    examples : Examples, the accepted images.
    segmenter : Segmenter, whose answers are corrected.
    seed : int, of the prompts.
    """

    def __init__(self, examples: Examples, segmenter: Segmenter, seed: int) -> None:
        self._examples, self._segmenter, self._seed = examples, segmenter, seed
        self._answers: dict[str, Sequence[_Answered]] = {}

    def draw(self, rng: Generator, name: str) -> ServedChain | None:
        """Return some object of an image, turned and flipped and in a little other light; None if none can be learnt.

        Half of the chains begin with the answer to a click, the others with that to a box.
        """
        answered = self._answers_on(name)
        if not answered:
            return None
        chosen = answered[int(rng.integers(len(answered)))]
        sample = self._examples.load(name)
        target = sample.objects[chosen.index].mask
        from_click = bool(rng.random() < 0.5)
        answer = (chosen.by_click if from_click else chosen.by_box).mask
        part = _around(answer | target)
        turns, flips = int(rng.integers(4)), bool(rng.random() < 0.5)

        def shown(array: NDArray[Any]) -> NDArray[Any]:
            rotated: NDArray[Any] = np.rot90(array[part], turns, (0, 1))
            return np.ascontiguousarray(rotated[:, ::-1] if flips else rotated)

        clicked = np.zeros_like(target)
        if from_click:
            x, y = chosen.click
            clicked[int(y), int(x)] = True
        clicks = np.argwhere(shown(clicked))[:, ::-1].astype(np.float32)
        return ServedChain(_in_other_light(rng, shown(sample.image)), shown(target), shown(answer), clicks)

    def _answers_on(self, name: str) -> Sequence[_Answered]:
        if name not in self._answers:
            rng = np.random.default_rng([self._seed, *name.encode()])
            sample = self._examples.load(name)
            usable = (int(index) for index in rng.permutation(len(sample.objects)))
            chosen: list[tuple[int, tuple[float, float]]] = []
            prompts: list[Prompt] = []
            for index in usable:
                mask = sample.objects[index].mask
                if len(chosen) < _MOST_OBJECTS and len(usable_objects(mask[None])):
                    chosen.append((index, first_click(rng, mask)))
                    prompts.append(Prompt(np.array([chosen[-1][1]], np.float32), np.array([1])))
                    prompts.append(Prompt(box=np.array(jittered_box(rng, mask), np.float32)))
            answers: list[Cropped] = []
            embedding = self._segmenter.encode(sample.image) if prompts else None
            for start in range(0, len(prompts), _PROMPTS_PER_CALL):
                assert embedding is not None
                decoded = self._segmenter.decode(embedding, prompts[start : start + _PROMPTS_PER_CALL])
                answers += [Cropped.of(candidates.masks[candidates.best]) for candidates in decoded]
            pairs = zip(answers[::2], answers[1::2], strict=True)
            self._answers[name] = [
                _Answered(*object_and_click, *pair) for object_and_click, pair in zip(chosen, pairs, strict=True)
            ]
        return self._answers[name]


def _around(mask: BoolArray) -> tuple[slice, slice]:
    """Return the part of an image that is shown of what is in a mask (H, W), rows and columns."""
    box = mask_box(mask)
    assert box is not None
    left, top, right, bottom = box
    margin = max(_LEAST_MARGIN, round(_MARGIN * max(right - left, bottom - top)))
    return slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin)


def _in_other_light(rng: Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pixels (H, W, 3) a little brighter or darker, with a little more or less contrast."""
    values = pixels.astype(np.float32)
    mean = values.mean()
    values = (values - mean) * 2.0 ** float(rng.normal(0, 0.15)) + mean + float(rng.normal(0, 8))
    return np.asarray(np.clip(values, 0, 255), np.uint8)
