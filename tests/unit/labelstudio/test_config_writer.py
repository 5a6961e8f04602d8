import pytest
from label_studio_sdk.label_interface import LabelInterface

from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.config import SHAPES, LabelingConfig
from sam_backend.labelstudio.config_writer import write_config


def test_label_studio_and_the_backend_take_the_config():
    config = write_config(["Scratch", 'Stain "deep" & <wide>'])
    LabelInterface(config).validate()
    (target,) = LabelingConfig.parse(config).targets
    assert [output.control.name for output in target.outputs] == ["mask"]


@pytest.mark.parametrize("shape", SHAPES)
def test_each_control_takes_the_masks_of_its_own_tools(shape):
    config = write_config(["Pit"], ["brush", shape] if shape != "brush" else ["brush", "polygon"])
    LabelInterface(config).validate()
    (target,) = LabelingConfig.parse(config).targets
    for tool in ("click", "box"):
        assert target.output("Pit", f"{tool}-{shape}").control.name == shape


@pytest.mark.parametrize(
    ("labels", "controls", "sentence"),
    [
        ([""], ["brush"], "Name at least one label"),
        (["Pit", "a\x01b"], ["brush"], r"The label 'a\\x01b' has line ends or control characters"),
        (["\ud83d"], ["brush"], "has line ends or control characters"),
        (["Pit"], [], "Name at least one control"),
        (["Pit", "Pit"], ["brush"], "The label 'Pit' is named twice"),
        (["Pit"], ["brsh"], "There is no control 'brsh'; there are brush, .*; did you mean brush"),
    ],
)
def test_what_makes_no_config_is_one_sentence(labels, controls, sentence):
    with pytest.raises(BadRequestError, match=sentence):
        write_config(labels, controls)
