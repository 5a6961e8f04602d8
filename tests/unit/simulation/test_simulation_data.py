"""Which images are labelled and which are measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from blob_images import write_blobs
from mask_files import painted, save, surface
from sam_backend.finetune.examples import Split, split_of
from sam_evaluation.errors import EvaluationError
from sam_evaluation.simulation.simulation_data import open_simulation_data


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blobs(tmp_path_factory.mktemp("blobs"), 80)


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    for split, count in (("training", 6), ("test", 4)):
        for number in range(count):
            # Names of the two splits may be the same.
            save(tmp_path / "images" / split / f"{number}.jpg", surface(number))
            save(tmp_path / "annotations" / split / f"{number}.png", painted(1, 2))
    return tmp_path


def test_the_training_split_is_labelled_and_the_test_split_measured(splits: Path) -> None:
    data = open_simulation_data(f"neu_seg:{splits}", budget=6, measured=3)
    assert (data.labelled.split, len(data.names)) == ("training", 6)
    assert (data.measured.split, len(data.measured_names)) == (None, 3)
    assert data.measured.open().load(data.measured_names[0]).objects


def test_a_named_split_is_divided_itself(splits: Path) -> None:
    data = open_simulation_data(f"neu_seg:{splits}@test", budget=1, measured=4)
    assert (data.labelled.split, data.measured.split) == ("test", "test")
    assert not set(data.names) & set(data.measured_names)


def test_without_splits_a_share_by_name_is_measured_that_leaves_images_for_the_gate(blobs: Path) -> None:
    data = open_simulation_data(f"masks:{blobs}", budget=10, measured=1000)
    assert set(data.names).isdisjoint(data.measured_names)
    assert len(data.names) + len(data.measured_names) == 80
    assert 0.1 < len(data.measured_names) / 80 < 0.4
    held_out = np.mean([split_of(name) is Split.HELD_OUT for name in data.names])
    assert held_out > 0.1


def test_a_stream_depends_on_its_seed_alone(blobs: Path) -> None:
    few, many = (open_simulation_data(f"masks:{blobs}", budget, 5) for budget in (10, 20))
    assert few.stream(10, 1) == many.stream(20, 1)[:10]
    assert few.stream(10, 1) != few.stream(10, 2)
    assert len(set(many.stream(20, 1))) == 20


def test_a_budget_larger_than_the_split_is_an_error_with_the_number_of_images(splits: Path) -> None:
    with pytest.raises(EvaluationError, match="has 6 images to label, and --budget asks for 7; ask for 6 at most"):
        open_simulation_data(f"neu_seg:{splits}", budget=7, measured=3)


def test_what_the_images_of_all_runs_leave_out_is_told(tmp_path: Path) -> None:
    ring = [[3, 2, 20, 2, 20, 18, 3, 18]]
    content = {
        "images": [{"id": number, "file_name": f"{number}.png"} for number in range(8)],
        "annotations": [
            {"id": number, "image_id": number % 8, "category_id": 1, "segmentation": ring, "iscrowd": number // 8}
            for number in range(16)
        ],
        "categories": [{"id": 1, "name": "dent"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    for number in range(8):
        save(tmp_path / f"{number}.png", surface())
    data = open_simulation_data(f"coco:{tmp_path}", 2, 1)

    (sentence,) = [text for text in data.left_out(2, 1) if "2 images" in text]

    assert "2 left out in 2 images: crowd (iscrowd is 1); first: " in sentence
