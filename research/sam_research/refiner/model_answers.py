"""What `nano` answers to a click and to a box on the objects of scenes: the masks that people really correct."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from sam_backend.arrays import BoolArray
from sam_backend.files import whole_file
from sam_backend.segmenters import Prompt
from sam_backend.segmenters.model_registry import load_segmenter
from sam_backend.segmenters.refiner.resampling import Square
from sam_evaluation.protocols.simulated_clicks import around_deepest_point, jittered_box
from sam_research.scenes.scene_store import load_scene, scene_path

_MOST_OBJECTS = 8


def save_answers(folder: Path, scenes: Path, numbers: Sequence[int]) -> None:
    """Write the answers on some scenes, those that are missing; each file is whole or not there."""
    cv2.setNumThreads(1)
    segmenter = load_segmenter("nano", threads=1)
    for number in numbers:
        path = scene_path(folder, number)
        if path.exists():
            continue
        scene = load_scene(scenes, number)
        rng = np.random.default_rng(number)
        areas = scene.masks.sum((1, 2))
        usable = np.flatnonzero((areas > 20) & (areas < 0.85 * scene.masks[0].size))
        chosen = np.sort(rng.permutation(usable)[:_MOST_OBJECTS])
        embedding = segmenter.encode(scene.image)
        prompts = []
        for index in chosen:
            mask = scene.masks[index]
            prompts.append(Prompt(np.array([around_deepest_point(rng, mask)], np.float32), np.array([1])))
            prompts.append(Prompt(box=jittered_box(rng, mask)))
        answers = segmenter.decode(embedding, prompts) if prompts else []
        masks = np.array([answer.masks[answer.best] for answer in answers], bool)
        masks = masks.reshape(len(chosen), 2, *scene.image.shape[:2])
        with whole_file(path, private=False) as part, part.open("wb") as file:
            np.savez_compressed(file, objects=chosen, masks=np.packbits(masks), shape=np.array(masks.shape))


def load_answers(folder: Path, number: int, square: Square) -> dict[int, list[BoolArray]]:
    """Return the answers for objects of a scene in a window, by the object's index; none if there is no file."""
    path = scene_path(folder, number)
    if not path.exists():
        return {}
    with np.load(path) as stored:
        shape = tuple(stored["shape"].tolist())
        masks = np.unpackbits(stored["masks"], count=int(np.prod(shape))).reshape(shape).astype(bool)
        objects = stored["objects"].tolist()
    return {
        int(index): [square.coverage(mask) > 0.5 for mask in answers]
        for index, answers in zip(objects, masks, strict=True)
    }
