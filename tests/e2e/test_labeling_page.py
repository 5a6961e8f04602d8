import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from label_studio_sdk import LabelStudio

from sam_backend.demo.demo_images import make_images
from sam_backend.demo.project import Source, import_images, open_project
from sam_backend.labelstudio.region_masks import region_mask
from sam_backend.labelstudio.rle import decode_rle
from sam_backend.masks import deepest_point, mask_iou

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
    assert mask_iou(first.mask, image.mask) > LEAST_IOU

    second = labeling.click(outside, label=image.label, positive=False)
    assert [region["is_positive"] for region in second.drawn] == [True, False]
    assert second.drawn[0]["id"] == first.drawn[0]["id"]
    assert not second.mask[int(outside[1]), int(outside[0])]

    labeling.accept()
    labeling.submit()
    mask, labels = submitted_mask(stack, task, second.region)
    assert labels == [image.label]
    assert np.array_equal(mask, second.mask)
    assert mask_iou(mask, image.mask) > LEAST_IOU


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
    assert mask_iou(mask, image.mask) > LEAST_IOU


LABELS = '<Label value="Stain"/><Label value="Pit"/>'
LABELED_CLICK = f'<KeyPointLabels name="click" toName="image" smart="true">{LABELS}</KeyPointLabels>'
BARE_CLICK = (
    f'<Labels name="labels" toName="image">{LABELS}</Labels><KeyPoint name="click" toName="image" smart="true"/>'
)


@pytest.mark.parametrize(
    ("tags", "labels_of", "types"),
    [
        (
            LABELED_CLICK + f'<BitmaskLabels name="mask" toName="image">{LABELS}</BitmaskLabels>',
            "click",
            ["bitmasklabels"],
        ),
        (
            LABELED_CLICK + f'<PolygonLabels name="mask" toName="image">{LABELS}</PolygonLabels>',
            "click",
            ["polygonlabels"],
        ),
        (
            LABELED_CLICK + f'<EllipseLabels name="mask" toName="image">{LABELS}</EllipseLabels>',
            "click",
            ["ellipselabels"],
        ),
        (
            LABELED_CLICK + f'<RectangleLabels name="mask" toName="image">{LABELS}</RectangleLabels>',
            "click",
            ["rectanglelabels"],
        ),
        (BARE_CLICK + '<Brush name="mask" toName="image"/>', "labels", ["brush", "labels"]),
        (BARE_CLICK + '<Polygon name="mask" toName="image"/>', "labels", ["labels", "polygon"]),
    ],
    ids=["bitmask", "polygon", "ellipse", "rectangle", "bare-brush", "bare-polygon"],
)
def test_every_kind_of_mask_is_shown_accepted_and_submitted(stack, labeling, images, tags, labels_of, types):
    image = images["tile-pit.jpg"]
    config = f'<View><Image name="image" value="$image"/>{tags}</View>'
    client = LabelStudio(base_url=stack.url, api_key=stack.credentials.token)
    # Without pre-annotations: Ctrl does not click through a bitmask as it does through a brush's mask.
    project = client.projects.create(title="One kind", label_config=config, show_collab_predictions=False).id
    stack.api.create_tasks(project, [{"image": stack.task(image.name).image, "name": image.name}])
    (task,) = stack.api.tasks(project)
    stack.api.connect_backend(project, stack.backend_url, "SAM Inspect")
    labeling.open_task(project, task.id, image.size)
    labeling.choose_smart_tool("key-point-tool")

    asked = labeling.click(deepest_point(image.mask), label="Pit", labels_of=labels_of)
    labeling.screenshot("-".join(types))
    labeling.accept()
    labeling.submit()

    (annotation,) = client.annotations.list(task.id)
    kept = [result for result in annotation.result if result["id"] == asked.region["id"]]
    assert sorted(result["type"] for result in kept) == types
    assert {result["from_name"] for result in kept} <= {"mask", "labels"}
    assert ["Pit"] in [result["value"].get(result["type"]) for result in kept]


def test_a_polygon_and_a_brush_stand_side_by_side(stack, labeling, images):
    image = images["tile-pit.jpg"]
    # Label Studio keeps `output` and `tolerance`, which are attributes of ours.
    config = f"""<View><Image name="image" value="$image"/>
        <KeyPointLabels name="outline-click" toName="image" smart="true" output="outline">{LABELS}</KeyPointLabels>
        <KeyPointLabels name="paint-click" toName="image" smart="true" output="paint">{LABELS}</KeyPointLabels>
        <BrushLabels name="paint" toName="image">{LABELS}</BrushLabels>
        <PolygonLabels name="outline" toName="image" tolerance="3">{LABELS}</PolygonLabels></View>"""
    client = LabelStudio(base_url=stack.url, api_key=stack.credentials.token)
    project = client.projects.create(title="Side by side", label_config=config, show_collab_predictions=False).id
    stack.api.create_tasks(project, [{"image": stack.task(image.name).image, "name": image.name}])
    (task,) = stack.api.tasks(project)
    stack.api.connect_backend(project, stack.backend_url, "SAM Inspect")
    labeling.open_task(project, task.id, image.size)
    inside = deepest_point(image.mask)

    labeling.choose_smart_tool("key-point-tool", 0)
    polygon = labeling.click(inside, label="Pit", labels_of="outline-click").region
    labeling.accept()
    labeling.choose_smart_tool("key-point-tool", 1)
    brush = labeling.click(inside, label="Stain", labels_of="paint-click").region
    labeling.accept()
    labeling.screenshot("side-by-side")
    labeling.submit()

    (annotation,) = client.annotations.list(task.id)
    kept = {result["id"]: result for result in annotation.result}
    assert {id_: (result["from_name"], result["type"]) for id_, result in kept.items()} == {
        polygon["id"]: ("outline", "polygonlabels"),
        brush["id"]: ("paint", "brushlabels"),
    }
    outlined, painted = (region_mask(kept[region["id"]]) for region in (polygon, brush))
    # The page saves a polygon as it came.
    np.testing.assert_allclose(kept[polygon["id"]]["value"]["points"], polygon["value"]["points"], atol=1e-3)
    assert mask_iou(outlined, painted) > 0.9
    assert min(mask_iou(mask, image.mask) for mask in (outlined, painted)) > LEAST_IOU


def test_a_box_annotates_the_defect_of_a_real_magnetic_tile(stack, labeling):
    folder = os.environ.get("SAM_INSPECT_DATA")
    if not folder:
        pytest.skip("SAM_INSPECT_DATA names no folder with magnetic_tile")
    file = sorted((Path(folder) / "magnetic_tile" / "MT_Blowhole" / "Imgs").glob("*.jpg"))[0]
    truth = cv2.imread(str(file.with_suffix(".png")), cv2.IMREAD_GRAYSCALE) > 127
    source = Source("Magnetic tile", "A real image", ("Blowhole",), (file,))
    project = open_project(stack.api, source)
    (task,) = import_images(stack.api, project, source, lambda *_: None)
    stack.api.connect_backend(project, stack.backend_url, "SAM Inspect")
    labeling.open_task(project, task.id, truth.shape)
    labeling.choose_smart_tool("rectangle-tool")

    asked = labeling.drag(around(truth), label="Blowhole")
    labeling.screenshot("magnetic-tile")

    labeling.accept()
    labeling.submit()
    mask, _ = submitted_mask(stack, task, asked.region)
    assert mask_iou(mask, truth) > LEAST_IOU
