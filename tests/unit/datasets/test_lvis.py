import json

import numpy as np
import pytest

from mask_files import FIRST, HEIGHT, WIDTH, block, save, surface
from sam_evaluation.datasets.lvis import Lvis
from sam_evaluation.errors import EvaluationError

URL = "http://images.cocodataset.org/train2017/000000000139.png"


def _write(folder, **image):
    content = {
        "images": [{"id": 139, "width": WIDTH, "height": HEIGHT, "not_exhaustive_category_ids": [5], **image}],
        "annotations": [{"id": 1, "image_id": 139, "category_id": 5, "segmentation": [[3, 2, 8, 2, 8, 8, 3, 8]]}],
        "categories": [{"id": 5, "name": "screw", "frequency": "r"}],
    }
    (folder / "lvis.json").write_text(json.dumps(content))
    return Lvis(folder)


@pytest.mark.parametrize("folder", ["train2017", "images/train2017"])
def test_images_are_named_by_their_address(tmp_path, folder):
    save(tmp_path / folder / "000000000139.png", surface())
    dataset = _write(tmp_path, coco_url=URL)

    assert dataset.names() == ["train2017/000000000139.png"]
    (obj,) = dataset.load("train2017/000000000139.png").objects
    assert obj.label == "screw"
    np.testing.assert_array_equal(obj.mask, block(FIRST))


def test_without_an_address_the_file_name_counts(tmp_path):
    save(tmp_path / "a.png", surface())

    assert len(_write(tmp_path, file_name="a.png").load("a.png").objects) == 1


def test_an_image_with_neither_is_reported(tmp_path):
    with pytest.raises(EvaluationError, match="every image needs its own"):
        _write(tmp_path).names()


def test_an_empty_folder_names_the_layout(tmp_path):
    with pytest.raises(EvaluationError, match=r"train2017/\*\.jpg"):
        Lvis(tmp_path).names()
