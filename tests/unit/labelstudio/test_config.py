import numpy as np
import pytest

from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.region_json import make_regions

IMAGE = '<Image name="image" value="$image"/>'
LABELS = '<Label value="Crack"/><Label value="Hole"/>'


def control(tag: str, name: str | None = None, to: str = "image", labels: str = LABELS, **attributes: str) -> str:
    extra = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f'<{tag} name="{name or tag}" toName="{to}"{extra}>{labels}</{tag}>'


def parse(*tags: str) -> LabelingConfig:
    return LabelingConfig.parse(f"<View>{''.join(tags)}</View>")


@pytest.mark.parametrize(
    ("tags", "chosen"),
    [
        (["RectangleLabels", "BrushLabels", "PolygonLabels"], "BrushLabels"),
        (["Rectangle", "EllipseLabels", "PolygonLabels", "BitmaskLabels"], "BitmaskLabels"),
        (["EllipseLabels", "PolygonLabels", "RectangleLabels"], "PolygonLabels"),
        (["RectangleLabels", "EllipseLabels"], "EllipseLabels"),
        (["KeyPointLabels", "RectangleLabels"], "RectangleLabels"),
        (["Brush", "BrushLabels"], "BrushLabels"),
        (["Brush", "BitmaskLabels"], "Brush"),
        (["VectorLabels", "RectangleLabels", "EllipseLabels"], "VectorLabels"),
        (["PolygonLabels", "Vector"], "PolygonLabels"),
        (["MagicWand", "KeyPointLabels"], "MagicWand"),
    ],
    ids=" ".join,
)
def test_the_most_exact_control_takes_the_mask(tags, chosen):
    assert parse(IMAGE, *map(control, tags)).target().output(None).control.name == chosen


def test_of_two_equal_controls_the_one_that_is_no_smart_prompt_takes_the_mask():
    config = parse(
        IMAGE, control("RectangleLabels", "prompt", smart="true"), control("RectangleLabels", "result", smart="false")
    )

    assert config.target().output(None).control.name == "result"


def test_of_two_equal_controls_the_one_that_knows_the_label_takes_the_mask():
    config = parse(
        IMAGE,
        control("BrushLabels", "defects"),
        control("BrushLabels", "parts", labels='<Label value="Weld"/>'),
    )

    assert config.target().output("Weld").control.name == "parts"
    assert config.target().output("Hole").control.name == "defects"


SIDE_BY_SIDE = (control("PolygonLabels", "outline", smart="true"), control("BrushLabels", "paint", smart="true"))


def test_a_control_that_draws_masks_answers_its_own_prompts():
    target = parse(IMAGE, *SIDE_BY_SIDE, control("KeyPointLabels", "click")).target()

    assert target.output("Crack", "outline").control.name == "outline"
    assert target.output("Crack", "paint").control.name == "paint"
    assert target.output("Crack", "click").control.name == target.output("Crack").control.name == "paint"
    assert target.output(None, "outline").control.name == "outline"


def test_a_control_for_prompts_alone_and_one_that_draws_around_objects_do_not():
    tags = control("PolygonLabels", "lasso", smartOnly="true"), control("RectangleLabels", "box"), SIDE_BY_SIDE[1]
    target = parse(IMAGE, *tags).target()

    assert target.output("Crack", "lasso").control.name == "paint"
    assert target.output("Crack", "box").control.name == "paint"


def test_a_prompting_control_can_name_the_control_that_answers():
    clicks = [control("KeyPointLabels", f"{name}-click", output=name) for name in ("outline", "paint", "frame")]
    target = parse(
        IMAGE, *SIDE_BY_SIDE, *clicks, control("RectangleLabels", "frame", labels='<Label value="Hole"/>')
    ).target()

    assert target.output("Crack", "outline-click").control.name == "outline"
    assert target.output("Hole", "frame-click").control.name == "frame"
    # The frame does not know it.
    assert target.output("Crack", "frame-click").control.name == "paint"


def test_bare_controls_side_by_side_share_their_labels():
    target = parse(IMAGE, control("Labels"), control("Brush", labels=""), control("Polygon", labels="")).target()

    output = target.output("Hole", "Polygon")
    assert (output.control.name, output.labeler.name) == ("Polygon", "Labels")
    assert target.output("Hole", "Brush").control.name == "Brush"


def test_an_output_that_takes_no_mask_is_refused():
    with pytest.raises(BadRequestError, match=r"output of the control 'click'.*'paint', 'outline'; .*says 'ouline'"):
        parse(IMAGE, *SIDE_BY_SIDE, control("KeyPointLabels", "click", output="ouline"))


def test_a_control_has_a_tolerance_of_its_own():
    target = parse(IMAGE, control("PolygonLabels", "outline", tolerance="2.5"), SIDE_BY_SIDE[1]).target()

    assert target.tolerance("outline", 1.0) == 2.5
    assert target.tolerance("paint", 1.0) == 1.0


@pytest.mark.parametrize("tolerance", ["-1", "wide", "inf", "nan"])
def test_a_tolerance_that_is_no_number_of_pixels_is_refused(tolerance):
    with pytest.raises(BadRequestError, match=rf"tolerance of the control 'PolygonLabels'.*0 or more.*'{tolerance}'"):
        parse(IMAGE, control("PolygonLabels", tolerance=tolerance))


def test_a_bare_shape_takes_its_labels_from_the_labels_tag():
    output = parse(IMAGE, control("Labels"), control("Brush", labels="")).target().output("Hole")

    assert (output.control.name, output.labeler.name) == ("Brush", "Labels")


def test_a_bare_shape_without_labels_tag_takes_any_label_and_names_none():
    assert parse(IMAGE, control("Polygon", labels="")).target().output("whatever").labeler is None


def test_an_unknown_label_is_refused_with_the_known_ones():
    with pytest.raises(BadRequestError, match=r"'Dent' is unknown.*knows 'Crack', 'Hole'"):
        parse(IMAGE, control("BrushLabels")).target().output("Dent")


def test_a_label_with_an_alias_goes_by_its_alias():
    target = parse(IMAGE, control("BrushLabels", labels='<Label value="Riss" alias="crack"/>')).target()

    assert target.output("crack").labeler.labels == ("crack",)


def test_a_label_goes_by_the_alias_of_the_control_that_takes_the_mask():
    target = parse(IMAGE, control("BrushLabels", labels='<Label value="Riss" alias="crack"/>')).target()
    (region,) = make_regions(np.ones((4, 4), bool), target, label="Riss")

    assert region["value"]["brushlabels"] == ["crack"]


def test_labels_that_come_with_the_task_are_all_known():
    target = parse(IMAGE, control("BrushLabels", labels="", value="$labels")).target()

    assert target.output("anything").control.name == "BrushLabels"


def test_each_image_has_the_control_that_names_it():
    config = parse(
        '<Image name="left" value="$a"/><Image name="right" value="$b"/>',
        control("BrushLabels", "r", to="right"),
        control("PolygonLabels", "l", to="left"),
    )

    assert config.target("right").output(None).control.name == "r"
    assert config.target("left").output(None).control.name == "l"
    assert config.target().image.name == "left"
    with pytest.raises(BadRequestError, match=r"drawn on 'top'.*'left', 'right'"):
        config.target("top")


def test_tags_are_known_in_any_case():
    assert parse(IMAGE, control("brushlabels")).target().output("Crack").control.tag == "brushlabels"


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        ("", "not valid XML"),
        ("<View><Image></View>", "not valid XML"),
        ("<View/>", "no <Image> tag"),
        (f"<View><Image name='image'/>{control('BrushLabels')}</View>", "no <Image> tag"),
        (f"<View>{IMAGE}{control('Choices', labels='')}</View>", "no control that takes a mask.*it has 'Choices'"),
        (f"<View>{IMAGE}{control('KeyPointLabels')}</View>", "no control that takes a mask.*add BrushLabels"),
        (f"<View>{IMAGE}{control('Labels')}</View>", "one of them without labels and a Labels tag"),
        (f'<!DOCTYPE v [<!ENTITY a "b">]><View>{IMAGE}{control("Brush")}</View>', "declares a document type"),
        (f"<View>{IMAGE}{control('Brush')}&nbsp;</View>", "not valid XML: undefined entity"),
        (f"<View>{IMAGE}{' ' * 9 * 2**20}</View>", "characters; at most 8388608 are read"),
        (f"<View>{IMAGE}{'<a/>' * 600_000}</View>", "more than 500000 tags"),
        (f"<View>{IMAGE}{control('Brush') * 101}</View>", "101 controls with shapes or labels on 'image'"),
        (f"<View>{IMAGE * 10_001}{control('Brush')}</View>", "10001 images; at most 10000"),
    ],
    ids=[
        "empty",
        "broken",
        "nothing",
        "image without value",
        "choices",
        "key points",
        "labels",
        "document type",
        "entity of HTML",
        "too large",
        "too many tags",
        "too many controls",
        "too many images",
    ],
)
def test_a_config_that_cannot_be_served_says_which_tag_is_missing(xml, says):
    with pytest.raises(BadRequestError, match=says):
        LabelingConfig.parse(xml)


def test_the_image_of_a_task_is_found_by_the_field_the_tag_names():
    image = parse(IMAGE, control("Brush")).target().image

    assert image.source({"image": "/data/a.jpg", "other": 1}) == "/data/a.jpg"
    with pytest.raises(BadRequestError, match="field 'image', which this task lacks; it has 'picture'"):
        image.source({"picture": "/data/a.jpg"})
    with pytest.raises(BadRequestError, match="should hold an image's address; got None"):
        image.source({"image": None})


def test_of_a_list_of_images_the_item_asked_for_is_taken():
    image = parse('<Image name="image" valueList="$pages"/>', control("Brush")).target().image

    assert image.source({"pages": ["/0.png", "/1.png"]}, 1) == "/1.png"
    with pytest.raises(BadRequestError, match="has 2 images; it was asked for number 3"):
        image.source({"pages": ["/0.png", "/1.png"]}, 2)


BRUSH = control("BrushLabels")


@pytest.mark.parametrize(
    ("tags", "label", "chosen"),
    [
        ([control("PolygonLabels", labels='<Label value="dirt"/>'), control("RectangleLabels", smart="true")], "Crack",
         "RectangleLabels"),
        ([control("BrushLabels", labels='<Label value="dirt"/>'), control("RectangleLabels", smart="true")], "dirt",
         "BrushLabels"),
        ([BRUSH, control("EllipseLabels", labels='<Label value="Pit"/>')], "Pit", "EllipseLabels"),
        ([BRUSH, control("Labels", labels='<Label value="Pit"/>'), control("Rectangle", labels="")], "Pit",
         "Rectangle"),
        ([BRUSH, control("PolygonLabels", labels="", value="$labels")], "anything", "PolygonLabels"),
        ([BRUSH, control("RectangleLabels", smart="true")], "Crack", "BrushLabels"),
        ([control("Brush", labels=""), control("RectangleLabels")], "Crack", "Brush"),
    ],
    ids=["smart box", "brush first", "ellipse", "bare box and Labels", "labels of the task", "prompts", "bare brush"],
)  # fmt: skip
def test_the_mask_goes_to_the_control_that_knows_the_label(tags, label, chosen):
    target = parse(IMAGE, *tags).target()

    assert target.output(label).control.name == chosen
    assert target.shape(label) == chosen.removesuffix("Labels").lower()


def test_a_label_that_no_control_knows_is_refused_with_all_that_are_known():
    target = parse(IMAGE, BRUSH, control("EllipseLabels", labels='<Label value="Pit"/>')).target()

    with pytest.raises(BadRequestError, match=r"'BrushLabels', 'EllipseLabels' .*they know 'Crack', 'Hole', 'Pit'"):
        target.output("Dent")
    assert target.shape("Dent") == "brush"


def test_a_control_with_the_name_of_another_hides_none():
    assert (
        parse(IMAGE, control("BrushLabels", "a"), control("Choices", "a")).target().output("Crack").control.name == "a"
    )


@pytest.mark.parametrize(
    "xml",
    [
        f'<?xml version="1.0" encoding="utf-16"?><!-- {{"data": 1}} --><View>{IMAGE}{BRUSH}</View>',
        f"\ufeff\n<View>{IMAGE}{BRUSH}</View>",
        '<View><?x name="a" toName="b"?><Style>.a {color: red}<Image name="x" value="$x"/></Style>'
        f"{IMAGE}{BRUSH}</View>",
        '<view><image NAME="image" Value="$image"/><View><brushlabels name="BrushLabels" toname="text, image">'
        '<View><label VALUE="Crack"/></View></brushlabels></View></view>',
        f"<View>{IMAGE}{BRUSH}{'<View>' * 5000}{'</View>' * 5000}</View>",
    ],
    ids=["declaration", "byte-order mark", "style and instruction", "any case", "deep"],
)
def test_forms_that_label_studio_takes_are_read(xml):
    config = LabelingConfig.parse(xml)

    assert [target.image.name for target in config.targets] == ["image"]
    assert config.target().output("Crack").control.name == "BrushLabels"


DATA = {
    "image": "/a.png",
    "Image URL": "/b.png",
    "views": ["/0.png", {"url": "/1.png"}],
    "meta": {"photo": "/c.png", "a b": {"c": "/d.png"}},
    "a.b": "/e.png",
    "folder": "parts",
    "file": "x y.png",
    "number": 7,
}


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("$image", "/a.png"),
        ("$Image URL", "/b.png"),
        ("$views[0]", "/0.png"),
        ("$views.0", "/0.png"),
        ("$views[1].url", "/1.png"),
        ("$meta.photo", "/c.png"),
        ("$meta['a b'].c", "/d.png"),
        ("$a.b", "/e.png"),
        ("https://host/$file", "https://host/x y.png"),
        ("https://host/$folder/$number.png?v=$file", "https://host/parts/7.png?v=x y.png"),
        ("$folder/$file", "parts/x y.png"),
        ("s3://bucket/$meta.photo", "s3://bucket//c.png"),
        ("https://host/fixed.png", "https://host/fixed.png"),
    ],
)
def test_the_value_of_an_image_is_resolved_as_on_the_page(value, address):
    image = parse(f'<Image name="image" value="{value}"/>', BRUSH).target().image

    assert image.source(DATA) == address
    assert image.count(DATA) is None


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("$views[2]", r"field 'views\[2\]', which this task lacks"),
        ("$views[x", r"which this task lacks"),
        ("$meta", r"should hold an image's address; got \{"),
        ("$image.photo", r"field 'image.photo', which this task lacks"),
        ("https://host/$other/$file", r"field 'other', which this task lacks"),
        ("https://host/$views", r"field 'views' into the address of an image, but it is no text"),
    ],
)
def test_a_value_that_a_task_does_not_fill_is_named(value, says):
    image = parse(f'<Image name="image" value="{value}"/>', BRUSH).target().image

    with pytest.raises(BadRequestError, match=says):
        image.source(DATA)


def test_a_message_about_a_task_stays_short_and_takes_any_number():
    image = parse(IMAGE, BRUSH).target().image

    for data in ({f"field {i}" * 100: 0 for i in range(10_000)}, {"image": 10**5000}, {"image": [[10**5000] * 10_000]}):
        with pytest.raises(BadRequestError) as error:
            image.source(data)
        assert len(str(error.value)) < 3000


def test_a_task_imported_before_the_config_has_its_image_in_an_undefined_field():
    assert parse(IMAGE, BRUSH).target().image.source({"$undefined$": "/a.png"}) == "/a.png"


def test_the_second_image_of_a_task_with_one_is_refused():
    with pytest.raises(BadRequestError, match="has 1 image; it was asked for number 2"):
        parse(IMAGE, BRUSH).target().image.source({"image": "/a.png"}, 1)


def test_all_images_of_a_task_are_known_by_tag_and_item():
    config = parse(
        '<Image name="pages" valueList="$pages"/><Image name="plain" value="$a"/><Image name="last" value="$b"/>',
        control("BrushLabels", "m", to="pages, last"),
    )
    images = list(config.images({"pages": ["/0.png", "/1.png"], "a": "/a.png", "b": "/b.png"}))

    assert [(image.index, image.place, image.item_index) for image in images] == [
        (0, ("pages", 0), 0), (1, ("pages", 1), 1), (2, ("last", 0), None)
    ]  # fmt: skip
    assert images[1].address({"pages": ["/0.png", "/1.png"]}) == "/1.png"


REPEATED = (
    '<View><Repeater on="$pages" indexFlag="{{i}}"><Image name="page_{{i}}" value="$pages[{{i}}].url"/>'
    '<BrushLabels name="mask_{{i}}" toName="page_{{i}}"><Label value="Crack"/></BrushLabels></Repeater></View>'
)


def test_a_repeater_makes_an_image_and_its_controls_for_each_item():
    config = LabelingConfig.parse(REPEATED)
    data = {"pages": [{"url": "/0.png"}, {"url": "/1.png"}]}

    assert config.knows("Crack")
    assert [image.address(data) for image in config.images(data)] == ["/0.png", "/1.png"]
    assert config.of_task(data).target("page_1").output("Crack").control.name == "mask_1"
    with pytest.raises(BadRequestError, match=r"repeats its images for '\$pages', where this task has no list"):
        config.of_task({"pages": []})
    with pytest.raises(BadRequestError, match="repeated 1000000 times"):
        config.of_task({"pages": [0] * 1_000_000})


def test_parsed_configs_are_kept_by_their_size():
    kept = LabelingConfig.parse(f"<View>{IMAGE}{BRUSH}<!-- kept --></View>")
    assert LabelingConfig.parse(kept.xml) is kept

    for number in range(5):
        LabelingConfig.parse(f"<View>{IMAGE}{BRUSH}{' ' * 2 * 2**20}<!-- {number} --></View>")
    assert LabelingConfig.parse(kept.xml) is not kept


EXEMPLARS = """<View><Image name="image" value="$image"/>
  <RectangleLabels name="like" toName="image" smart="true" exemplars="positive">
    <Label value="Kratzer" alias="scratch" text=" scratch on steel "/><Label value="Delle"/>
  </RectangleLabels>
  <EllipseLabels name="mask" toName="image">
    <Label value="Kratzer" alias="scratch"/><Label value="Delle" alias="dent"/><Label value="Loch" text=""/>
  </EllipseLabels></View>"""


def test_a_control_of_exemplars_takes_no_masks():
    config = LabelingConfig.parse(EXEMPLARS)
    assert [output.control.name for output in config.target().outputs] == ["mask"]
    assert config.control("like").exemplars == "positive"
    assert config.control("mask").exemplars == ""
    assert config.control(None) is None


def test_a_label_means_its_text_else_its_name_as_annotators_see_it():
    config = LabelingConfig.parse(EXEMPLARS)
    assert config.texts == {"scratch": "scratch on steel", "dent": "Delle"}
    assert config.given_texts == {"scratch": "scratch on steel", "Loch": ""}
    assert LabelingConfig.parse(EXEMPLARS.replace("EllipseLabels", "Ellipse")).texts == {}


def test_labels_that_come_with_the_task_mean_nothing():
    xml = EXEMPLARS.replace('<Label value="Loch" text=""/>', '<Label value="$field"/>')
    assert set(LabelingConfig.parse(xml).texts) == {"scratch", "dent"}
