import numpy as np
import pytest

from label_studio_requests import CONFIG
from sam_backend.labelstudio.accepted_masks import has_prompts_only, mask_regions, read_masks
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.rle import encode_rle
from sam_evaluation.errors import BrokenSampleError

FRAME = {"to_name": "image", "original_width": 30, "original_height": 20, "image_rotation": 0}
MASK = np.zeros((20, 30), bool)
MASK[5:15, 10:20] = True
BOX = {"x": 100 / 3, "y": 25, "width": 100 / 3, "height": 50, "rotation": 0}


def brush(region_id="a", mask=MASK, **more):
    value = {"format": "rle", "rle": encode_rle(mask), "brushlabels": ["Crack"]}
    return {**FRAME, "id": region_id, "from_name": "brush", "type": "brushlabels", "value": value, **more}


def rectangle(**more):
    value = {**BOX, "rectanglelabels": ["Crack"]}
    return {**FRAME, "id": "b", "from_name": "rect", "type": "rectanglelabels", "value": value, **more}


def masks_of(result, xml=CONFIG):
    entries = mask_regions(result, LabelingConfig.parse(xml).target())
    return [(region.label, region.mask) for region in read_masks(entries)]


def test_a_brush_is_a_mask_and_a_box_beside_it_a_prompt():
    ((label, mask),) = masks_of([brush(), rectangle()])
    assert label == "Crack"
    np.testing.assert_array_equal(mask, MASK)


def test_a_box_is_a_mask_where_the_config_has_nothing_more_exact():
    xml = (
        '<View><Image name="image" value="$image"/><RectangleLabels name="rect" toName="image"><Label value="Crack"/>'
        "</RectangleLabels></View>"
    )
    ((_, mask),) = masks_of([rectangle()], xml)
    np.testing.assert_array_equal(mask, MASK)


def test_a_bare_brush_takes_the_label_of_its_labels_result():
    value = {"format": "rle", "rle": encode_rle(MASK)}
    bare = {**FRAME, "id": "a", "from_name": "brush", "type": "brush", "value": value}
    named = {**bare, "from_name": "label", "type": "labels", "value": {**value, "labels": ["Hole"]}}
    assert [label for label, _ in masks_of([bare, named])] == ["Hole"]


def test_other_images_and_what_has_no_area_are_left_aside():
    choice = {"id": "c", "from_name": "ok", "to_name": "image", "type": "choices", "value": {"choices": ["yes"]}}
    assert masks_of([brush(to_name="other"), brush(item_index=1), choice]) == []
    assert len(masks_of([brush(item_index=0)])) == 1


def test_a_damaged_mask_is_told():
    broken = brush()
    broken["value"]["rle"] = broken["value"]["rle"][:20]
    with pytest.raises(BrokenSampleError, match="breaks off"):
        masks_of([broken])


def test_boxes_alone_say_that_something_is_there_and_nothing_says_that_nothing_is():
    target = LabelingConfig.parse(CONFIG).target()
    assert has_prompts_only([rectangle()], target)
    assert not has_prompts_only([brush(), rectangle()], target)
    assert not has_prompts_only([], target)
