"""How a training measures itself, and the pictures it draws of that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

from sam_backend.segmenters.nano.architecture import build_nano  # noqa: E402
from sam_research.nano_recipe import COMPOSED, PROCEDURAL  # noqa: E402 - needs torch
from sam_research.nano_validation import Answers, answers, held_out  # noqa: E402
from sam_research.scenes import Scene  # noqa: E402
from sam_research.scenes.composition import COMPOSITIONS  # noqa: E402
from sam_research.scenes.regions import REGIONS  # noqa: E402
from sam_research.scenes.scene import SURFACES  # noqa: E402
from sam_research.training_pictures import worst, write_curves, write_samples  # noqa: E402


@pytest.fixture(scope="module")
def found() -> Answers:
    torch.manual_seed(0)
    masks = np.zeros((3, 256, 256), bool)
    masks[0, 32:160, 32:160] = masks[1, 160:240, 120:240] = True
    masks[2, 5, 5] = True  # too small to be asked for
    answered = answers(build_nano(), Scene(np.full((256, 256, 3), 90, np.uint8), masks))
    assert answered is not None
    return answered


@pytest.mark.parametrize("recipe", [COMPOSED, PROCEDURAL])
def test_held_out_scenes_are_of_the_kinds_trained_on_and_never_trained_on(recipe: object) -> None:
    numbers = held_out(recipe, 9)  # type: ignore[arg-type]
    assert len(set(numbers)) == 9
    trained = {0: 5000, SURFACES: 4000, COMPOSITIONS: 7000, REGIONS: 3000}
    kinds = {max(first for first in trained if first <= number) for number in numbers}
    assert kinds == ({COMPOSITIONS, REGIONS} if recipe is COMPOSED else {0, SURFACES})
    assert all(number - max(first for first in trained if first <= number) >= 10_000 for number in numbers)


def test_objects_are_asked_for_by_box_click_and_corrections_and_judged_as_served(found: Answers) -> None:
    assert found.masks.shape == (3, 2, 256, 256)
    assert found.truth.sum((1, 2)).tolist() == [128 * 128, 80 * 120]
    both, either = found.masks & found.truth, found.masks | found.truth
    np.testing.assert_allclose(found.iou, both.sum((2, 3)) / either.sum((2, 3)), rtol=1e-5)
    assert ((found.predicted > 0) & (found.predicted < 1)).all()
    coords, labels = found.clicks
    assert coords.shape == (2, 3, 2)
    assert labels[:, 0].tolist() == [1, 1]


def test_a_scene_whose_masks_are_all_too_small_is_left_out() -> None:
    masks = np.zeros((1, 256, 256), bool)
    masks[0, 3, 3] = True
    assert answers(build_nano(), Scene(np.zeros((256, 256, 3), np.uint8), masks)) is None


def test_pictures_show_curves_and_answers(found: Answers, tmp_path: Path) -> None:
    steps = [{"step": step, "loss": 2.0 / step, "click": 0.4} for step in (1, 2)]
    checks = [{"step": 2, "box": 0.6, "click": 0.5, "corrected": 0.7, "ece": 0.1}]
    write_curves(steps, checks, tmp_path / "curves.png")
    write_samples([(found, 0), (found, 1)], tmp_path / "samples.png")
    curves, samples = (cv2.imread(str(tmp_path / name)) for name in ("curves.png", "samples.png"))
    assert curves.shape[1] > 2 * curves.shape[0]
    red, white = (samples == (0, 0, 255)).all(2), (samples == 255).all(2)
    assert red.any() or found.masks[:, 0].sum() == 0
    assert white.any()
    assert len(list(tmp_path.iterdir())) == 2


def test_the_worst_answers_are_of_different_scenes_and_of_all_prompts(found: Answers) -> None:
    def scene(box: float, click: float, corrected: float) -> Answers:
        return replace(found, iou=np.array([[0.9, box], [0.9, click], [corrected, 0.9]], np.float32))

    scenes = [scene(0.5, 0.5, 0.5), scene(0.1, 0.0, 0.0), scene(0.8, 0.2, 0.1), scene(0.8, 0.8, 0.3)]
    chosen = [(next(n for n, each in enumerate(scenes) if each is one), index) for one, index in worst(scenes, count=1)]
    assert chosen == [(1, 1), (2, 1), (3, 0)]
