"""Scenes composed from materials: a function of number and materials, with exact and nested masks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.random import Generator

from sam_research.materials.collection import INDEX, Library, Material
from sam_research.materials.fetching import MaterialsError
from sam_research.scenes import marks, process_faults
from sam_research.scenes.composition import COMPOSITION_SIZE, COMPOSITIONS, MOST_MASKS, compose
from sam_research.scenes.regions import REGIONS, divide
from sam_research.scenes.scene_masks import MIN_AREA, stands_out
from sam_research.scenes.scene_objects import cutout, same_coloured
from sam_research.scenes.scene_store import build_scenes, load_scene, scene_path
from sam_research.scenes.shapes import ellipse
from sam_research.scenes.skins import surface


def write_materials(folder: Path, seed: int) -> Path:
    """Write two pictures of each kind: blurred noise, and two-coloured disks."""
    rng = np.random.default_rng(seed)
    materials = []
    for kind in ("cutout", "drawing", "photo", "texture"):
        for number in range(2):
            if kind in ("photo", "texture"):
                picture = cv2.GaussianBlur(rng.integers(0, 255, (300, 400, 3), np.uint8), (0, 0), 2 + number)
            else:
                picture = np.zeros((160, 160, 4), np.uint8)
                cv2.circle(picture, (80, 80), 79, (40, 80, 200, 255), -1)
                cv2.circle(picture, (80, 80), 35, (200, 220, 60, 255), -1)
            path = folder / f"{kind}{number}-{seed}.png"
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), picture)
            materials.append(Material(path.name, str(seed), kind, "p 1", path.name, "CC0-1.0", "A"))
    (folder / INDEX).write_text(json.dumps([vars(material) for material in materials]))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_materials(tmp_path_factory.mktemp("materials"), 1)


@pytest.fixture(scope="module")
def library(folder: Path) -> Library:
    return Library(folder)


def test_a_composition_is_a_function_of_its_number_and_the_materials(library: Library, tmp_path: Path) -> None:
    first, again = compose(COMPOSITIONS + 3, library), compose(COMPOSITIONS + 3, library)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.masks, again.masks)
    assert not np.array_equal(first.image, compose(COMPOSITIONS + 4, library).image)
    other = Library(write_materials(tmp_path / "other", 2))
    assert other.digest != library.digest
    assert not np.array_equal(first.image, compose(COMPOSITIONS + 3, other).image)


def test_every_mask_of_a_composition_can_be_clicked(library: Library) -> None:
    for number in range(COMPOSITIONS, COMPOSITIONS + 12):
        scene = compose(number, library)
        areas = scene.masks.sum((1, 2))
        assert scene.image.shape == (COMPOSITION_SIZE, COMPOSITION_SIZE, 3)
        assert 0 < len(areas) <= MOST_MASKS
        assert areas.min() >= MIN_AREA
        assert areas.max() <= 0.9 * COMPOSITION_SIZE**2


def test_regions_are_a_function_of_their_number_and_overlap_nowhere(library: Library) -> None:
    first, again = divide(REGIONS + 1, library), divide(REGIONS + 1, library)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.masks, again.masks)
    assert first.masks.sum(0).max() == 1
    assert first.masks.any(0).mean() > 0.5


def test_a_cut_out_covers_what_it_paints_and_its_parts_lie_inside(library: Library) -> None:
    nested = 0
    for seed in range(6):
        thing = cutout(np.random.default_rng(seed), library, 256, np.array([128.0, 120.0]), 60.0, False)
        whole = thing.coverage > 0.5
        rows, columns = np.nonzero(whole)
        # A disk of radius 60 stays one, whatever the turn.
        assert whole.sum() == pytest.approx(np.pi * 60**2, rel=0.05)
        assert (columns.mean(), rows.mean()) == (pytest.approx(128, abs=2), pytest.approx(120, abs=2))
        for part in thing.parts:
            assert not (part & ~whole).any()
            assert part.sum() < whole.sum()
        nested += bool(thing.parts)
    assert nested >= 4


def test_parts_are_the_regions_of_one_colour_and_disjoint() -> None:
    skin = np.zeros((120, 120, 3), np.float32)
    skin[:, :60] = (0.8, 0.2, 0.2)
    skin[:, 60:] = (0.2, 0.2, 0.8)
    whole = np.zeros((120, 120), bool)
    whole[10:110, 20:110] = True
    left, right = sorted(same_coloured(np.random.default_rng(0), skin, whole), key=lambda part: -int(part[60, 30]))
    assert not (left & right).any()
    assert left[60, 30]
    assert right[60, 90]
    assert (left.sum(), right.sum()) == (pytest.approx(4000, rel=0.05), pytest.approx(5000, rel=0.05))


@pytest.mark.parametrize("draw", [*dict.fromkeys(marks.MARKS), process_faults.weld, process_faults.print_fault])
def test_a_defect_changes_the_image_where_its_masks_are(draw: Callable[..., object]) -> None:
    image = np.full((256, 256, 3), 0.5, np.float32)
    seen = 0
    for seed in range(6):
        drawn, masks = draw(np.random.default_rng(seed), image)
        change = np.abs(drawn - image).mean(2)
        union = np.any(masks, 0) if masks else np.zeros((256, 256), bool)
        if union.any():
            seen += change[union].mean() > 2 * change[~union].mean()
    assert seen >= 4


def test_other_skin_shows_exactly_inside_its_masks() -> None:
    image, below = np.full((200, 200, 3), 0.8, np.float32), np.full((200, 200, 3), 0.2, np.float32)
    drawn, masks = marks.other_skin(np.random.default_rng(2), image, below)
    core = cv2.erode(np.any(masks, 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    outside = cv2.dilate(np.any(masks, 0).astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
    assert drawn[core].mean() < 0.5
    assert drawn[outside].mean() > 0.75


def test_a_chip_lies_inside_the_object_it_broke_off() -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        coverage = ellipse(np.random.default_rng(1), 256, np.array([128.0, 128.0]), 80.0)
        image, behind = np.full((256, 256, 3), 0.7, np.float32), np.zeros((256, 256, 3), np.float32)
        _, left, masks = process_faults.chip(rng, image, coverage, behind, 80.0)
        assert masks
        assert (left <= coverage).all()
        for mask in masks:
            assert not (mask & (coverage <= 0.5)).any()


def test_a_change_hidden_by_the_texture_does_not_stand_out_and_one_on_an_even_surface_does() -> None:
    rng: Generator = np.random.default_rng(0)
    mask = np.zeros((100, 100), bool)
    mask[40:60, 48:52] = True
    even = np.full((100, 100, 3), 0.5, np.float32)
    rough = even + rng.normal(0, 0.2, (100, 100, 1)).astype(np.float32)
    assert stands_out(even, even + 0.05 * mask[..., None], mask)
    assert not stands_out(rough, rough + 0.05 * mask[..., None], mask)
    assert not stands_out(even, even, np.zeros((100, 100), bool))


def test_a_grey_surface_has_no_hue(library: Library) -> None:
    for seed in range(4):
        skin = surface(np.random.default_rng(seed), library, 128, True)
        assert np.ptp(skin, axis=2).max() < 1e-5


def test_compositions_are_stored_with_procedural_scenes_and_only_from_one_set_of_materials(
    folder: Path, tmp_path: Path
) -> None:
    scenes = tmp_path / "scenes"
    build_scenes(scenes, [0, COMPOSITIONS], jobs=1, materials=folder)
    stored, made = load_scene(scenes, COMPOSITIONS), compose(COMPOSITIONS, Library(folder))
    np.testing.assert_array_equal(stored.image, made.image)
    np.testing.assert_array_equal(stored.masks, made.masks)
    assert scene_path(scenes, 0).exists()
    with pytest.raises(MaterialsError, match="composed from other materials"):
        build_scenes(scenes, [COMPOSITIONS + 1], jobs=1, materials=write_materials(tmp_path / "other", 2))


def test_a_composition_that_is_missing_asks_for_materials(tmp_path: Path) -> None:
    with pytest.raises(MaterialsError, match="a folder of materials is needed"):
        load_scene(tmp_path, COMPOSITIONS)
