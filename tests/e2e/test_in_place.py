"""A mask that is there, proposed or a person's, is corrected by two clicks and stays one region."""

import numpy as np
import pytest
from label_studio_sdk import LabelStudio

from annotation_events import region
from sam_backend.demo.demo_images import make_images
from sam_backend.labelstudio.config_writer import write_config
from sam_backend.labelstudio.rle import decode_rle
from sam_backend.masks import deepest_point, mask_iou


@pytest.mark.parametrize("source", ["prediction", "annotation"])
def test_a_negative_and_a_positive_click_correct_a_mask_in_place(stack, labeling, source):
    (image,) = (image for image in make_images() if image.name == "steel-stain.jpg")
    columns = np.nonzero(image.mask)[1]
    shifted = np.roll(image.mask, (columns.max() - columns.min()) // 4, 1)
    client = LabelStudio(base_url=stack.url, api_key=stack.credentials.token)
    config = write_config((image.label,))
    project = client.projects.create(title="In place", label_config=config, show_collab_predictions=True).id
    stack.api.create_tasks(project, [{"image": stack.task(image.name).image, "name": image.name}])
    (task,) = stack.api.tasks(project)
    there = region(image.label, shifted) | {"id": "there"}
    made = client.predictions if source == "prediction" else client.annotations
    if source == "prediction":
        made.create(task=task.id, result=[there], model_version="earlier")
    else:
        made.create(task.id, result=[there])
    stack.api.connect_backend(project, stack.backend_url, "SAM Inspect")
    labeling.open_task(project, task.id, image.size)
    labeling.choose_smart_tool("key-point-tool")

    first = labeling.click(deepest_point(shifted & ~image.mask), label=image.label, positive=False)
    second = labeling.click(deepest_point(image.mask & ~first.mask), label=image.label)
    assert [first.region["id"], second.region["id"]] == ["there", "there"]
    labeling.accept()
    labeling.submit() if source == "prediction" else labeling.update()

    (annotation,) = client.annotations.list(task.id)
    (kept,) = annotation.result
    assert kept["id"] == "there"
    mask = decode_rle(kept["value"]["rle"], image.size)
    assert np.array_equal(mask, second.mask)
    assert mask_iou(mask, image.mask) > mask_iou(shifted, image.mask) + 0.1
