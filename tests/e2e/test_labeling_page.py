import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from label_studio_sdk import LabelStudio

from sam_backend.demo.images import make_images
from sam_backend.demo.project import Source, import_images
from sam_backend.demo.prompting import deepest_point, iou
from sam_backend.labelstudio.rle import decode_rle

LEAST_IOU = 0.5


@pytest.fixture(scope="module")
def images():
    return {image.name: image for image in make_images()}


def submitted_mask(stack, task, region):
    """The mask of a region in the one annotation of a task, as Label Studio gives it out."""
    client = LabelStudio(base_url=stack.url, api_key=stack.credentials.token)
    (annotation,) = client.annotations.list(task.id)
    (kept,) = [result for result in annotation.result if result["id"] == region["id"]]
    assert kept["type"] == "brushlabels"
    size = kept["original_height"], kept["original_width"]
    return decode_rle(kept["value"]["rle"], size), kept["value"]["brushlabels"]


def around(mask, margin=3):
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    left, top = max(columns.min() - margin, 0), max(rows.min() - margin, 0)
    return left, top, min(columns.max() + 1 + margin, width), min(rows.max() + 1 + margin, height)


def test_a_click_a_negative_click_and_accepting_annotate_a_defect(stack, labeling, images):
    image = images["steel-stain.jpg"]
    task = stack.task(image.name)
    inside, outside = deepest_point(image.mask), deepest_point(~image.mask)
    labeling.open_task(stack.project, task.id, image.size)
    labeling.choose_smart_tool("key-point-tool")

    first = labeling.click(inside, label=image.label)
    labeling.screenshot("click")
    assert [region["is_positive"] for region in first.drawn] == [True]
    assert iou(first.mask, image.mask) > LEAST_IOU

    second = labeling.click(outside, label=image.label, positive=False)
    assert [region["is_positive"] for region in second.drawn] == [True, False]
    assert second.drawn[0]["id"] == first.drawn[0]["id"]
    assert not second.mask[int(outside[1]), int(outside[0])]

    labeling.accept()
    labeling.submit()
    mask, labels = submitted_mask(stack, task, second.region)
    assert labels == [image.label]
    assert np.array_equal(mask, second.mask)
    assert iou(mask, image.mask) > LEAST_IOU


def test_a_smart_rectangle_annotates_a_defect(stack, labeling, images):
    image = images["tile-pit.jpg"]
    task = stack.task(image.name)
    labeling.open_task(stack.project, task.id, image.size)
    labeling.choose_smart_tool("rectangle-tool")

    box = around(image.mask)
    asked = labeling.drag(box, label=image.label)
    assert [region["type"] for region in asked.drawn] == ["rectanglelabels"]
    value, (height, width) = asked.drawn[0]["value"], image.size
    drawn = value["x"] * width / 100, value["y"] * height / 100
    assert drawn == pytest.approx(box[:2], abs=2)  # pixels
    labeling.screenshot("box")

    labeling.accept()
    labeling.submit()
    mask, labels = submitted_mask(stack, task, asked.region)
    assert labels == [image.label]
    assert iou(mask, image.mask) > LEAST_IOU


def test_a_box_annotates_the_defect_of_a_real_magnetic_tile(stack, labeling):
    folder = os.environ.get("SAM_INSPECT_DATA")
    if not folder:
        pytest.skip("SAM_INSPECT_DATA names no folder with magnetic_tile")
    file = sorted((Path(folder) / "magnetic_tile" / "MT_Blowhole" / "Imgs").glob("*.jpg"))[0]
    truth = cv2.imread(str(file.with_suffix(".png")), cv2.IMREAD_GRAYSCALE) > 127
    (task,) = import_images(stack.api, stack.project, Source("", "", (), (file,)), lambda *_: None)
    labeling.open_task(stack.project, task.id, truth.shape)
    labeling.choose_smart_tool("rectangle-tool")

    asked = labeling.drag(around(truth), label="Pit")
    labeling.screenshot("magnetic-tile")

    labeling.accept()
    labeling.submit()
    mask, _ = submitted_mask(stack, task, asked.region)
    assert iou(mask, truth) > LEAST_IOU
