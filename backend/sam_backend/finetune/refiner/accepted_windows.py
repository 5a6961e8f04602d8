"""Windows of accepted images, in which clicks begin with what the project's own model answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_backend.finetune.examples import Examples
from sam_backend.finetune.refiner.tasks import TaskMix
from sam_backend.finetune.refiner.windows import Windows, make_window, usable_objects
from sam_backend.finetune.simulated_prompts import first_click, jittered_box
from sam_backend.samples import Cropped
from sam_backend.segmenters import Prompt, Segmenter
from sam_backend.segmenters.refiner.resampling import Square

_MOST_OBJECTS = 6
"""Objects of an image that the model is asked for; the others begin with spoiled masks."""

_MASK_BYTES = 2**26
"""Bytes of full-size masks that are drawn from at once; of a large image, only some objects are."""

_PROMPTS_PER_CALL = 4


class AcceptedWindows:
    """Draws windows of accepted images. The model answers once for each image that is drawn.

    Parameters
    ----------
    examples : Examples, the accepted images.
    segmenter : Segmenter, whose answers are corrected.
    mix : TaskMix.
    seed : int, of the prompts.
    """

    def __init__(self, examples: Examples, segmenter: Segmenter, mix: TaskMix, seed: int) -> None:
        self._examples, self._segmenter, self._mix, self._seed = examples, segmenter, mix, seed
        self._answers: dict[str, Mapping[int, Sequence[Cropped]]] = {}

    def draw(self, rng: Generator, name: str) -> Windows | None:
        """Return a window of an image; None if the object that was drawn does not fit into it."""
        sample = self._examples.load(name)
        most = max(1, _MASK_BYTES // (sample.image.shape[0] * sample.image.shape[1]))
        shown = np.sort(rng.permutation(len(sample.objects))[:most])
        masks = np.stack([sample.objects[index].mask for index in shown])
        given = self._answers_on(name)

        def read_answers(square: Square) -> dict[int, list[BoolArray]]:
            return {
                place: [square.coverage(answer.mask) > 0.5 for answer in given.get(int(index), ())]
                for place, index in enumerate(shown)
            }

        return make_window(rng, self._mix, sample.image, masks, read_answers, _in_other_light)

    def _answers_on(self, name: str) -> Mapping[int, Sequence[Cropped]]:
        """Return what the model answers to a click and to a box, by the index of the object."""
        if name not in self._answers:
            rng = np.random.default_rng([self._seed, *name.encode()])
            sample = self._examples.load(name)
            order = rng.permutation(len(sample.objects)).tolist()
            chosen: list[int] = []
            prompts: list[Prompt] = []
            for index in order:
                mask = sample.objects[index].mask
                if len(chosen) < _MOST_OBJECTS and len(usable_objects(mask[None])):
                    chosen.append(index)
                    prompts.append(Prompt(np.array([first_click(rng, mask)], np.float32), np.array([1])))
                    prompts.append(Prompt(box=np.array(jittered_box(rng, mask), np.float32)))
            answers: list[Cropped] = []
            embedding = self._segmenter.encode(sample.image) if prompts else None
            for start in range(0, len(prompts), _PROMPTS_PER_CALL):
                assert embedding is not None
                decoded = self._segmenter.decode(embedding, prompts[start : start + _PROMPTS_PER_CALL])
                answers += [Cropped.of(candidates.masks[candidates.best]) for candidates in decoded]
            self._answers[name] = {index: answers[2 * place : 2 * place + 2] for place, index in enumerate(chosen)}
        return self._answers[name]


def _in_other_light(rng: Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pixels (S, S, 3) a little brighter or darker, with a little more or less contrast."""
    values = pixels.astype(np.float32)
    mean = values.mean()
    values = (values - mean) * 2.0 ** float(rng.normal(0, 0.15)) + mean + float(rng.normal(0, 8))
    return np.asarray(np.clip(values, 0, 255), np.uint8)
