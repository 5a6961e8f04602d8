"""The one reader: which regions are masks, of which image, and why the others are not."""

import numpy as np
import pytest

from label_studio_requests import CONFIG
from sam_backend.errors import BadRequestError, BrokenSampleError
from sam_backend.labelstudio.accepted_masks import MaskRule, mask_regions, read_annotation, read_regions
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.rle import encode_rle

FRAME = {"to_name": "image", "original_width": 30, "original_height": 20, "image_rotation": 0}
MASK = np.zeros((20, 30), bool)
MASK[5:15, 10:20] = True
BOX = {"x": 100 / 3, "y": 25, "width": 100 / 3, "height": 50, "rotation": 0}
ONE = {"image": "/a.png"}
LABEL = '<Label value="Crack"/>'
BOXES = (
    f'<View><Image name="image" value="$image"/><RectangleLabels name="rect" toName="image">{LABEL}</RectangleLabels>'
    "</View>"
)
PAGES = (
    '<View><Image name="image" valueList="$pages"/><BrushLabels name="brush" toName="image">'
    f"{LABEL}</BrushLabels></View>"
)
BOTH_SIDES = f"""<View><Image name="left" value="$front"/><Image name="right" value="$back"/>
<BrushLabels name="a" toName="left">{LABEL}</BrushLabels>
<RectangleLabels name="b" toName="right">{LABEL}</RectangleLabels></View>"""


def brush(region_id="a", mask=MASK, **more):
    value = {"format": "rle", "rle": encode_rle(mask), "brushlabels": ["Crack"]}
    return {**FRAME, "id": region_id, "from_name": "brush", "type": "brushlabels", "value": value, **more}


def rectangle(region_id="b", box=BOX, **more):
    value = {**box, "rectanglelabels": ["Crack"]}
    return {**FRAME, "id": region_id, "from_name": "rect", "type": "rectanglelabels", "value": value, **more}


def point(**more):
    value = {"x": 50, "y": 50, "width": 1, "keypointlabels": ["Crack"]}
    return {**FRAME, "id": "p", "from_name": "click", "type": "keypointlabels", "value": value, **more}


def read(result, xml=CONFIG, data=ONE):
    return read_annotation(result, data, LabelingConfig.parse(xml))


def masks_of(result, xml=CONFIG):
    (image,) = read(result, xml).images
    return [(region.label, region.mask) for region in image.regions.masks()]


def ids(regions):
    return [region.id for region in regions.masks()]


def reasons(accepted):
    return {unused.id: unused.reason for unused in accepted.unused}


# With a labeling config


def test_a_brush_is_a_mask_and_a_box_or_a_point_beside_it_a_prompt():
    accepted = read([brush(), rectangle(), point()])
    (image,) = accepted.images
    ((label, mask),) = masks_of([brush(), rectangle(), point()])
    assert (image.index, image.address, label, image.regions.left_out) == (0, "/a.png", "Crack", "")
    np.testing.assert_array_equal(mask, MASK)
    assert reasons(accepted) == {
        "b": "the rectangle is a prompt, since the labeling config takes masks as brush",
        "p": "a point has no area",
    }


def test_a_box_is_a_mask_where_the_config_has_nothing_more_exact():
    ((_, mask),) = masks_of([rectangle()], BOXES)
    np.testing.assert_array_equal(mask, MASK)


def test_a_bare_brush_takes_the_label_of_its_labels_result():
    value = {"format": "rle", "rle": encode_rle(MASK)}
    bare = {**FRAME, "id": "a", "from_name": "brush", "type": "brush", "value": value}
    named = {**bare, "from_name": "label", "type": "labels", "value": {**value, "labels": ["Hole"]}}
    assert [label for label, _ in masks_of([bare, named])] == ["Hole"]


def test_a_mask_with_the_label_of_its_smart_tool_is_one_mask():
    """As Label Studio 1.23 saves it where it keeps labels; the results of a region have one id and the same pixels."""
    value = brush()["value"]
    result = [
        brush(),
        {**brush(), "from_name": "click", "type": "keypointlabels", "value": {**value, "keypointlabels": ["Crack"]}},
        brush("b"),
        {
            **brush("b"),
            "from_name": "rect",
            "type": "rectanglelabels",
            "value": {**value, "rectanglelabels": ["Crack"]},
        },
    ]
    assert [label for label, _ in masks_of(result)] == ["Crack", "Crack"]
    (exported,) = read_regions(result, MaskRule.of_results([result]))
    assert ids(exported) == ["a", "b"]
    assert reasons(read(result)) == {}
    assert exported.unused == ()


def test_a_region_belongs_to_its_page():
    result = [
        brush("a", item_index=2),
        brush("b", item_index=0),
        rectangle("c", item_index=1),
        brush("d", item_index=5),
    ]
    accepted = read(result, PAGES, {"pages": ["/0.png", "/1.png", "/2.png"]})
    found = [(image.index, image.address, ids(image.regions)) for image in accepted.images]
    assert found == [(0, "/0.png", ["b"]), (1, "/1.png", []), (2, "/2.png", ["a"])]
    assert accepted.images[1].regions.left_out == "it has boxes or points, but no mask"
    assert reasons(accepted)["d"] == "the task has no image number 6 of 'image'"


def test_a_page_number_that_is_none_is_not_the_first_page():
    assert read([brush(item_index="1")], PAGES, {"pages": ["/0.png", "/1.png"]}).images == ()


def test_each_image_tag_has_its_regions_and_its_rule():
    result = [brush("a", to_name="left"), rectangle("b", to_name="left"), rectangle("c", to_name="right")]
    accepted = read(result, BOTH_SIDES, {"front": "/f.png", "back": "/b.png"})
    found = [(image.index, image.address, ids(image.regions)) for image in accepted.images]
    assert found == [(0, "/f.png", ["a"]), (1, "/b.png", ["c"])]
    assert list(reasons(accepted)) == ["b"]


def test_regions_on_other_images_are_named_and_make_no_background():
    choice = {"id": "c", "from_name": "ok", "to_name": "image", "type": "choices", "value": {"choices": ["yes"]}}
    accepted = read([brush(to_name="other"), choice])
    assert accepted.images == ()
    assert reasons(accepted) == {"a": "the labeling config takes no masks on 'other'"}


def test_an_empty_annotation_is_of_the_first_image():
    (image,) = read([], PAGES, {"pages": ["/0.png", "/1.png"]}).images
    assert (image.index, image.address, ids(image.regions), image.regions.left_out) == (0, "/0.png", [], "")
    with pytest.raises(BadRequestError, match="which this task lacks"):
        read([], PAGES, {"image": "/a.png"})


def test_boxes_alone_say_that_something_is_there():
    (image,) = read([rectangle()]).images
    assert image.regions.left_out == "it has boxes or points, but no mask"


def test_a_damaged_mask_is_reported():
    broken = brush()
    broken["value"]["rle"] = broken["value"]["rle"][:20]
    with pytest.raises(BrokenSampleError, match="breaks off"):
        masks_of([broken])


def test_the_entries_that_are_masks_can_be_read_alone():
    target = LabelingConfig.parse(CONFIG).target()
    assert mask_regions([brush(), rectangle(), brush("z", item_index=1)], target) == [brush()]


TWO_KINDS = f"""<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image">{LABEL}</BrushLabels>
<RectangleLabels name="rect" toName="image" smart="true">{LABEL}<Label value="Pit"/></RectangleLabels></View>"""


def test_a_box_is_a_mask_where_its_label_belongs_to_the_box_control_alone():
    pit = rectangle("pit")
    pit["value"]["rectanglelabels"] = ["Pit"]
    both = rectangle("both")
    both["value"]["rectanglelabels"] = ["Crack", "Pit"]
    bare = rectangle("bare")
    del bare["value"]["rectanglelabels"]
    accepted = read([brush(), pit, rectangle("crack"), both, bare], TWO_KINDS)
    assert ids(accepted.images[0].regions) == ["a", "pit", "both"]
    assert list(reasons(accepted)) == ["crack", "bare"]


def test_a_magic_wand_and_a_vector_are_masks():
    wand = brush("wand", type="magicwand", from_name="wand")
    points = [{"id": str(i), "x": x, "y": y, "prevPointId": str(i - 1) if i else None}
              for i, (x, y) in enumerate([(100 / 3, 25), (200 / 3, 25), (200 / 3, 75), (100 / 3, 75)])]  # fmt: skip
    vector = {**FRAME, "id": "v", "type": "vector", "value": {"vertices": points, "closed": True}}
    masks = masks_of([wand, vector])
    assert [label for label, _ in masks] == ["Crack", "unlabelled"]
    assert all((mask == MASK).all() for _, mask in masks)


def test_the_pages_of_a_repeater_have_their_regions():
    xml = PAGES.replace("<View>", '<View><Repeater on="$pages">').replace("</View>", "</Repeater></View>")
    xml = xml.replace('"image" valueList="$pages"', '"image_{{idx}}" value="$pages[{{idx}}]"')
    xml = xml.replace('"brush" toName="image"', '"brush_{{idx}}" toName="image_{{idx}}"')
    result = [brush("a", to_name="image_1"), brush("b", to_name="image_2")]
    accepted = read(result, xml, {"pages": ["/0.png", "/1.png"]})
    assert [(image.index, image.address, ids(image.regions)) for image in accepted.images] == [(1, "/1.png", ["a"])]
    assert reasons(accepted) == {"b": "the labeling config takes no masks on 'image_2'"}


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ({"item_index": 10**400}, "its item_index is not the number of an image"),
        ({"item_index": [0]}, "its item_index is not the number of an image"),
        ({"item_index": -1}, "its item_index is not the number of an image"),
        ({"item_index": 1}, "the task has no image number 2 of 'image'"),
        ({"to_name": ["image"]}, "the labeling config takes no masks on ''"),
        ({"to_name": "x" * 10**6}, f"the labeling config takes no masks on '{'x' * 80}…'"),
    ],
    ids=["huge", "list", "negative", "second", "list of names", "long name"],
)
def test_a_region_of_no_image_costs_itself_and_says_why(odd, says):
    accepted = read([brush("good"), brush("odd", **odd)])
    assert [ids(image.regions) for image in accepted.images] == [["good"]]
    assert reasons(accepted) == {"odd": says}


# Without a labeling config


def test_without_a_config_a_box_around_a_mask_is_a_prompt_and_so_is_every_box_of_its_control():
    alone = [rectangle("lone"), brush("far", np.roll(MASK, 10, axis=1))]
    around = [rectangle("around"), brush("inside")]
    other = [rectangle("other", from_name="part")]
    rule = MaskRule.of_results([alone, around, other])
    assert [ids(regions) for result in (alone, around, other) for regions in read_regions(result, rule)] == [
        ["far"], ["inside"], ["other"]
    ]  # fmt: skip


def test_without_a_config_boxes_beside_masks_are_masks():
    result = [rectangle("beside"), brush("far", np.roll(MASK, 10, axis=1))]
    (regions,) = read_regions(result, MaskRule.of_results([result]))
    assert ids(regions) == ["beside", "far"]


def test_a_box_on_another_page_is_not_around_a_mask():
    result = [rectangle("box", item_index=1), brush("mask", item_index=0)]
    rule = MaskRule.of_results([result])
    assert [ids(regions) for regions in read_regions(result, rule)] == [["box"], ["mask"]]


def test_a_labels_tag_that_names_boxes_and_brushes_is_no_prompting_control():
    label = {"from_name": "label", "type": "labels"}
    box = [rectangle("box", type="rectangle"), rectangle("box", **label)]
    mask = [brush("mask", type="brush"), brush("mask", **label)]
    (regions,) = read_regions([*box, *mask], MaskRule.of_results([[*box, *mask]]))
    assert ids(regions) == ["mask"]
    far = [rectangle("far", **label), brush("x", np.roll(MASK, 10, axis=1))]
    (regions,) = read_regions(far, MaskRule.of_results([[*box, *mask], far]))
    assert ids(regions) == ["far", "x"]


def test_a_rectangle_around_an_example_is_no_mask_where_rectangles_are():
    like = f'<RectangleLabels name="like" toName="image" smart="true" exemplars="positive">{LABEL}</RectangleLabels>'
    xml = BOXES.replace("</View>", f"{like}</View>")
    accepted = read([rectangle("mask"), rectangle("example", from_name="like")], xml)
    assert [ids(image.regions) for image in accepted.images] == [["mask"]]
    assert reasons(accepted) == {"example": "the rectangle is an example of what to find"}
