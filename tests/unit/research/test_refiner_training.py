"""The training of the refiner: its windows and tasks, and that an interruption changes nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest

from sam_backend.errors import SamInspectError
from sam_backend.segmenters.refiner.guidance import WINDOW
from sam_backend.segmenters.refiner.resampling import Square

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from sam_research.refiner.chain_validation import Curve, curve  # noqa: E402
from sam_research.refiner.model_answers import load_answers, save_answers  # noqa: E402
from sam_research.refiner.refiner_recipe import RefinerRecipe  # noqa: E402
from sam_research.refiner.refiner_trainer import RefinerTrainer  # noqa: E402
from sam_research.refiner.windows import scene_windows  # noqa: E402
from sam_research.scenes.scene import SURFACES  # noqa: E402
from sam_research.scenes.scene_store import load_scene, save_scene  # noqa: E402
from threshold_segmenter import ThresholdSegmenter  # noqa: E402

SMALL = RefinerRecipe(
    steps=3,
    fall=1,
    windows=1,
    tasks=2,
    most_clicks=2,
    mixed=3,
    surfaces=1,
    compositions=0,
    regions=0,
    shares=(1, 1, 0, 0),
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    for number in SMALL.numbers():
        save_scene(folder, number)
    return folder


def batch(scenes, recipe, seed, answers=None):
    rng = np.random.default_rng(seed)
    return scene_windows(rng, recipe, scenes, answers, (recipe.scene_number(rng) for _ in repeat(None)))


def test_the_scenes_of_a_recipe_are_those_that_it_draws():
    rng = np.random.default_rng(0)
    drawn = {SMALL.scene_number(rng) for _ in range(200)}
    assert drawn == set(SMALL.numbers()) == {0, 1, 2, SURFACES}


@pytest.mark.parametrize("thin_share", [0.0, 1.0])
def test_windows_hold_targets_and_wrong_masks_of_them(scenes, thin_share):
    recipe = replace(SMALL, windows=3, tasks=4, thin_share=thin_share)
    windows = batch(scenes, recipe, 1)
    assert windows.pixels.shape == (3, WINDOW, WINDOW, 3)
    assert windows.targets.shape == windows.masks.shape == (3, 4, WINDOW, WINDOW)
    assert windows.targets.any((2, 3)).all()
    assert (windows.targets != windows.masks).any((2, 3)).mean() > 0.7
    again = batch(scenes, recipe, 1)
    np.testing.assert_array_equal(again.masks, windows.masks)


def test_tasks_begin_with_the_models_own_answers_where_there_are_some(scenes, tmp_path):
    save_answers(tmp_path, scenes, [0])
    scene = load_scene(scenes, 0)
    answers = load_answers(tmp_path, 0, Square(0, 0, len(scene.image)))
    assert answers
    assert all(mask.shape == (WINDOW, WINDOW) for masks in answers.values() for mask in masks)
    assert load_answers(tmp_path, 1, Square(0, 0, 10)) == {}


def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(scenes, tmp_path):
    batches = [batch(scenes, SMALL, step) for step in range(3)]
    straight = RefinerTrainer(SMALL, tmp_path / "straight")
    for windows in batches:
        straight.take_step(windows)
    before = RefinerTrainer(SMALL, tmp_path / "out")
    shown = before.take_step(batches[0])
    before.save()
    after = RefinerTrainer(SMALL, tmp_path / "out")
    assert after.resume()
    for windows in batches[1:]:
        after.take_step(windows)
    assert {"loss", "iou1"} <= shown.keys()
    for name, value in straight.optimisation.average.values.items():
        torch.testing.assert_close(after.optimisation.average.values[name], value)


def test_a_training_can_be_made_longer_but_not_another_one(tmp_path):
    trainer = RefinerTrainer(SMALL, tmp_path)
    assert not trainer.resume()
    trainer.save()
    assert RefinerTrainer(replace(SMALL, steps=9, fall=4), tmp_path).resume()
    with pytest.raises(SamInspectError, match="another recipe"):
        RefinerTrainer(replace(SMALL, rate=1.0), tmp_path).resume()


def test_a_curve_counts_what_never_gets_there_and_what_harms():
    text = str(Curve(np.array([[0.5, 0.82, 0.7], [0.9, 0.95, 1.0]])))
    assert "n 2 IoU 0.700 0.885 0.850 never 0.00 0.50 0.50 worse 0.250" in text


def test_corrections_are_asked_for_until_the_mask_is_right():
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:30, 10:30] = 200
    segmenter, truth = ThresholdSegmenter(), image[..., 0] > 100
    found = curve(segmenter, [(segmenter.encode(image), [truth])], "click", 3)
    assert found.iou.shape == (1, 4)
    assert found.iou[0, -1] == 1
