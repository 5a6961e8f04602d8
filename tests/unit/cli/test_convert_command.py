"""`convert` on box files, as a user types it."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from sam_backend.errors import SamInspectError
from sam_evaluation.datasets.registry import DatasetSpec
from sam_inspect.main import app


def typed(*words):
    result = CliRunner().invoke(app, ["convert", *map(str, words)], env={"COLUMNS": "200"})
    if isinstance(result.exception, SamInspectError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def boxes(tmp_path):
    pixels = np.full((60, 80, 3), 60, np.uint8)
    pixels[20:40, 30:60] = 220
    (tmp_path / "boxes").mkdir()
    Image.fromarray(pixels).save(tmp_path / "boxes/a.png")
    found = [{"id": number, "image_id": 1, "category_id": 1, "bbox": bbox} for number, bbox in enumerate(BOXES)]
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "gone.png"}]
    content = {"images": images, "annotations": found, "categories": [{"id": 1, "name": "plate"}]}
    (tmp_path / "boxes/boxes.json").write_text(json.dumps(content))
    return f"coco:{tmp_path / 'boxes'}"


BOXES = ([28, 18, 34, 24], [100, 10, 5, 5])


def test_boxes_in_files_become_a_data_set_and_what_is_left_out_is_told(boxes, tmp_path):
    printed = typed("--data", boxes, "--out", tmp_path / "masks", "--model", "nano")

    assert f"{tmp_path / 'masks'} holds 1 mask of boxes on 1 image." in printed
    assert "1 image could not be used:" in printed
    assert "gone.png: The image gone.png is neither in" in printed
    assert "coco: 1 left out in 1 image: box outside its image; first: a.png, annotation 1." in printed
    (plate,) = DatasetSpec.parse(f"coco:{tmp_path / 'masks'}").open().load("a.png").objects
    assert plate.label == "plate"
    assert 0.9 < plate.cropped.area / 600 < 1.1


def test_a_dry_run_writes_a_picture_alone(boxes, tmp_path):
    printed = typed("--data", boxes, "--dry-run", tmp_path / "look.png", "--model", "grabcut")

    assert "look.png shows 1 mask on 1 image; nothing else was written." in printed
    assert "1 image could not be used:\n  gone.png: The image gone.png is neither in" in printed
    assert Image.open(tmp_path / "look.png").width == 320
    assert sorted(path.name for path in tmp_path.iterdir()) == ["boxes", "look.png"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "either a --project, or files with --data"),
        (("--data", "coco:x", "--project", "3"), "either a --project, or files with --data"),
        (("--data", "coco:x", "--from", "EllipseLabels"), "--from does not go with --data"),
        (("--data", "coco:x", "--again"), "--again does not go with --data"),
        (("--project", "3", "--out", "masks"), "--out does not go with --project"),
        (("--data", "", "--out", "x"), "A data set is format:folder, such as coco:./images; got ''"),
        (("--data", "boxes", "--out", "x"), "A data set is format:folder, such as coco:./images; got 'boxes'"),
        (("--data", "coco:x"), "either the folder for the masks with --out, or a picture with --dry-run"),
        (("--data", "coco:x", "--dry-run", "a.jpg"), "that ends in .png"),
    ],
)
def test_what_does_not_go_together_is_a_sentence(words, sentence):
    with pytest.raises(SamInspectError, match=sentence):
        typed(*words)
