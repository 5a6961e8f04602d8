import pytest

from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.config import LabelingConfig

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
    ],
    ids=["empty", "broken", "nothing", "image without value", "choices", "key points", "labels"],
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
