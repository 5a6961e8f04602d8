"""Training scenes: a pure function of their number, and the same on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sam_research.augmentation import PADDING, view
from sam_research.scenes import Scene, make_scene
from sam_research.scenes.scene import SIZE, SURFACES
from sam_research.scenes.scene_masks import MIN_AREA
from sam_research.scenes.scene_store import build_scenes, load_scene, scene_path


def test_a_scene_is_a_function_of_its_number() -> None:
    first, again, other = make_scene(7), make_scene(7), make_scene(8)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.masks, again.masks)
    assert not np.array_equal(first.image, other.image)


def test_every_mask_of_a_scene_is_large_enough_to_click_and_not_the_whole_image() -> None:
    for number in range(8):
        scene = make_scene(number)
        areas = scene.masks.sum((1, 2))
        assert scene.image.shape == (SIZE, SIZE, 3)
        assert len(areas) > 0
        assert areas.min() >= MIN_AREA
        assert areas.max() < 0.95 * SIZE * SIZE


def test_scenes_from_the_number_of_surfaces_on_are_made_too() -> None:
    scene = make_scene(SURFACES)
    assert scene.image.shape == (SIZE, SIZE, 3)
    assert len(scene.masks) > 0
    assert scene.masks.mean() < 0.5


def test_scenes_on_disk_are_the_scenes_and_only_missing_ones_are_made(tmp_path: Path) -> None:
    build_scenes(tmp_path, range(2), jobs=1)
    first = scene_path(tmp_path, 0)
    written = first.stat().st_mtime_ns
    build_scenes(tmp_path, range(3), jobs=1)
    assert first.stat().st_mtime_ns == written
    assert sorted(path.name for path in tmp_path.rglob("*.npz")) == ["0000000.npz", "0000001.npz", "0000002.npz"]
    stored, made = load_scene(tmp_path, 2), make_scene(2)
    np.testing.assert_array_equal(stored.image, made.image)
    np.testing.assert_array_equal(stored.masks, made.masks)


def test_a_view_moves_image_and_masks_alike_and_pads_with_the_neutral_grey() -> None:
    image = np.full((SIZE, SIZE, 3), 20, np.uint8)
    mask = np.zeros((SIZE, SIZE), bool)
    mask[100:300, 120:260] = True
    image[mask] = 230
    padded = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        seen, coverage = view(rng, Scene(image, mask[None]), 128)
        grey = seen[1::2, 1::2].mean(2)
        inside, outside = coverage[0] > 0.99, coverage[0] < 0.01
        neutral = (seen == PADDING).all(2)[1::2, 1::2]
        padded += neutral.mean() > 0.1
        assert seen.shape == (128, 128, 3)
        assert coverage.shape == (1, 64, 64)
        # Light, noise and inversion may change both sides, but not make them alike.
        assert abs(grey[inside].mean() - grey[outside & ~neutral].mean()) > 20
    assert 0 < padded < 20
