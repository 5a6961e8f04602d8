import json

import numpy as np
import pytest
from label_studio_sdk.label_interface import LabelInterface

from peak_memory import assert_peak
from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.bitmask import decode_bitmask
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.region_json import make_regions, prediction, replace_mask
from sam_backend.labelstudio.region_masks import region_mask
from sam_backend.labelstudio.rle import decode_rle

MASK = np.zeros((60, 80), bool)
MASK[10:30, 20:60] = True
MASK[40:50, 5:15] = True
SHAPES = ["Brush", "Bitmask", "Polygon", "Vector", "Ellipse", "Rectangle"]


def xml(shape: str, own_labels: bool = True, labels: tuple[str, ...] = ("Crack", "Hole")) -> str:
    inner = "".join(f'<Label value="{label}"/>' for label in labels)
    if own_labels:
        controls = f'<{shape}Labels name="out" toName="image">{inner}</{shape}Labels>'
    else:
        controls = f'<Labels name="label" toName="image">{inner}</Labels><{shape} name="out" toName="image"/>'
    return f'<View><Image name="image" value="$image"/>{controls}</View>'


def regions(config: str, mask: np.ndarray = MASK, **options) -> list[dict]:
    return make_regions(mask, LabelingConfig.parse(config).target(), **options)


@pytest.mark.parametrize("label", ["Hole", None])
@pytest.mark.parametrize("own_labels", [True, False], ids=["labels", "bare"])
@pytest.mark.parametrize("shape", SHAPES)
def test_label_studios_own_check_accepts_every_kind_of_region(shape, own_labels, label):
    config = xml(shape, own_labels)
    answer = json.loads(json.dumps(prediction(regions(config, label=label, score=0.9), 0.9, "v1")))

    assert answer["result"]
    assert LabelInterface(config).validate_prediction(answer, return_errors=True) == []


@pytest.mark.parametrize("own_labels", [True, False], ids=["labels", "bare"])
def test_brush_and_bitmask_hold_the_mask_to_the_pixel(own_labels):
    brush = regions(xml("Brush", own_labels))[0]["value"]
    bitmask = regions(xml("Bitmask", own_labels))[0]["value"]

    assert brush["format"] == "rle"
    np.testing.assert_array_equal(decode_rle(brush["rle"], MASK.shape), MASK)
    np.testing.assert_array_equal(decode_bitmask(bitmask["imageDataURL"], MASK.shape), MASK)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_small_mask_of_an_image_of_400_megapixels_takes_little_memory(shape):
    before = f"""
        import numpy as np
        from sam_backend.labelstudio.config import LabelingConfig
        from sam_backend.labelstudio.mask_runs import MaskRuns
        from sam_backend.labelstudio.region_json import make_regions
        from sam_backend.labelstudio.region_runs import RegionRuns
        from sam_backend.samples import Cropped
        mask = Cropped(np.ones((40, 30), bool), (15_000, 9_000), (20_000, 20_000))
        target = LabelingConfig.parse({xml(shape)!r}).target()
        def shared():
            (region,) = make_regions(mask, target, label="Hole")
            if {shape!r} == "Bitmask":
                return region["value"]["imageDataURL"]  # to decode it takes the PNG's pixels
            return MaskRuns.of_mask(mask).is_like(RegionRuns().of_entry(region, mask.size), 0.7)
    """
    assert_peak(before, "assert shared()", below=40_000_000)


def test_a_vector_is_a_closed_line_of_vertices_for_each_component():
    found = regions(xml("Vector"), label="Hole")
    polygons = regions(xml("Polygon"), label="Hole")

    assert [region["type"] for region in found] == ["vectorlabels"] * 2
    np.testing.assert_array_equal(sum(map(region_mask, found)), sum(map(region_mask, polygons)))
    vertices = found[1]["value"]["vertices"]
    assert [vertex["prevPointId"] for vertex in vertices] == [None, *(vertex["id"] for vertex in vertices[:-1])]


def test_a_magic_wand_takes_brush_masks():
    config = '<View><Image name="image" value="$image"/><Labels name="l" toName="image"><Label value="Crack"/></Labels>'
    found = regions(config + '<MagicWand name="wand" toName="image"/></View>')

    assert [(region["from_name"], region["type"]) for region in found] == [("wand", "magicwand"), ("l", "labels")]


def test_a_polygon_is_a_closed_region_for_each_component():
    found = regions(xml("Polygon"), label="Hole")

    assert len({region["id"] for region in found}) == 2
    assert [region["value"]["closed"] for region in found] == [True, True]
    assert sorted(found[1]["value"]["points"]) == [[6.25, 66.6667], [6.25, 83.3333], [18.75, 66.6667], [18.75, 83.3333]]


@pytest.mark.parametrize("shape", ["Rectangle", "Ellipse"])
def test_a_shape_that_only_surrounds_is_one_region_for_all_components(shape):
    assert len(regions(xml(shape))) == 1


def test_a_rectangle_reaches_from_the_first_to_beyond_the_last_pixel():
    value = regions(xml("Rectangle"), label="Hole")[0]["value"]

    assert value.pop("rectanglelabels") == ["Hole"]
    assert value == pytest.approx({"x": 6.25, "y": 100 / 6, "width": 68.75, "height": 200 / 3, "rotation": 0})


def test_a_region_says_where_it_comes_from_and_what_it_is_of():
    (region,) = regions(xml("Brush"), label="Hole", score=0.75, item_index=3)

    assert region.pop("value")["brushlabels"] == ["Hole"]
    assert region.pop("id")
    assert region == {
        "from_name": "out",
        "to_name": "image",
        "type": "brushlabels",
        "original_width": 80,
        "original_height": 60,
        "image_rotation": 0,
        "origin": "prediction",
        "score": 0.75,
        "item_index": 3,
    }


def test_a_bare_shape_is_named_by_a_second_result_with_the_same_id_and_geometry():
    shape, name = regions(xml("Rectangle", own_labels=False), label="Hole")

    assert (shape["type"], name["type"]) == ("rectangle", "labels")
    assert (shape["from_name"], name["from_name"]) == ("out", "label")
    assert shape["id"] == name["id"]
    assert name["value"] == {**shape["value"], "labels": ["Hole"]}


@pytest.mark.parametrize(
    ("config", "label", "given"),
    [
        (xml("Brush", labels=("Crack",)), None, ["Crack"]),
        (xml("Brush"), None, []),
        (xml("Brush"), "Hole", ["Hole"]),
    ],
    ids=["the only one", "none of several", "the chosen one"],
)
def test_without_a_label_only_a_single_known_one_can_be_meant(config, label, given):
    assert regions(config, label=label)[0]["value"]["brushlabels"] == given


def test_a_bare_shape_without_a_label_is_one_result():
    assert [region["type"] for region in regions(xml("Polygon", own_labels=False), MASK[:35])] == ["polygon"]


def test_an_unknown_label_is_refused():
    with pytest.raises(BadRequestError, match="'Dent' is unknown"):
        regions(xml("Brush"), label="Dent")


@pytest.mark.parametrize("shape", SHAPES)
def test_an_empty_mask_gives_no_region_and_the_answer_still_has_a_prediction(shape):
    found = regions(xml(shape), np.zeros((60, 80), bool))

    assert found == []
    assert prediction(found, 0.8, "v1") == {"result": [], "score": 0.0, "model_version": "v1"}


def test_the_prompting_control_decides_which_control_takes_the_mask():
    config = xml("Brush").replace(
        "</View>", '<PolygonLabels name="outline" toName="image"><Label value="Crack"/></PolygonLabels></View>'
    )

    def kinds(**options):
        return {(region["from_name"], region["type"]) for region in regions(config, label="Crack", **options)}

    assert kinds() == kinds(prompted_with="out") == {("out", "brushlabels")}
    assert kinds(prompted_with="outline") == {("outline", "polygonlabels")}


@pytest.mark.parametrize("shape", ["Polygon", "Vector"])
def test_the_tolerance_is_the_controls_own_or_the_given_one(shape):
    disc = np.hypot(*(np.indices((60, 80)) - 29.5)) < 25

    def points(config, tolerance):
        (region,) = regions(config, disc, label="Crack", tolerance=tolerance)
        return len(region["value"].get("points") or region["value"]["vertices"])

    own = xml(shape).replace('toName="image">', 'toName="image" tolerance="0">')
    assert points(own, 3.0) == points(xml(shape), 0.0) > points(xml(shape), 1.0) > points(xml(shape), 3.0)


def test_a_corrected_polygon_has_the_tolerance_that_is_given():
    disc = np.hypot(*(np.indices((60, 80)) - 29.5)) < 25
    entries = regions(xml("Polygon"), MASK[:30], label="Crack")

    fine, coarse = (replace_mask(disc, entries, tolerance=tolerance)[0] for tolerance in (0.0, 3.0))
    assert len(fine["value"]["points"]) > len(coarse["value"]["points"])
