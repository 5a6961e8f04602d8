"""Requests as recorded from Label Studio 1.23.2, without the fields that do not matter here."""

import numpy as np
import pytest
from label_studio_sdk.label_interface import LabelInterface

from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.prompts import read_drawn
from sam_backend.labelstudio.region_json import make_regions, prediction

CONFIG = """<View>
  <Image name="image" value="$image" zoom="true" zoomControl="true"/>
  <BrushLabels name="brush" toName="image">
    <Label value="Blowhole" background="#FF0000"/><Label value="Crack" background="#0d14d3"/>
  </BrushLabels>
  <KeyPointLabels name="kp" toName="image" smart="true">
    <Label value="Blowhole" smart="true" background="#FFaa00" showInline="true"/><Label value="Crack" smart="true"/>
  </KeyPointLabels>
  <RectangleLabels name="rect" toName="image" smart="true">
    <Label value="Blowhole" background="#FF00FF"/><Label value="Crack"/>
  </RectangleLabels>
</View>"""
BARE = """<View><Image name="image" value="$image"/>
  <Labels name="lab" toName="image"><Label value="Crack"/><Label value="Hole"/></Labels>
  <KeyPoint name="keypoint" toName="image" smart="true"/><Rectangle name="rectangle" toName="image" smart="true"/>
  <Brush name="brush" toName="image"/></View>"""
SIZE = (373, 248)
FRAME = {"original_width": 248, "original_height": 373, "image_rotation": 0, "to_name": "image", "origin": "manual"}


def keypoint(x: float, y: float, region_id: str, positive: bool) -> list[dict]:
    """A click with a bare KeyPoint: its own result, and the one of the Labels tag."""
    value = {"x": x, "y": y, "width": 0.299, "labels": ["Crack"]}
    result = {**FRAME, "value": value, "is_positive": positive, "id": region_id}
    return [
        {**result, "from_name": "keypoint", "type": "keypoint"},
        {**result, "from_name": "lab", "type": "labels"},
    ]


REQUESTS = {
    "a click": (
        CONFIG,
        [
            {
                **FRAME,
                "value": {
                    "x": 44.138061334075815,
                    "y": 52.527743526510484,
                    "width": 0.37090807843761187,
                    "labels": ["Blowhole"],
                    "keypointlabels": ["Blowhole"],
                },
                "is_positive": True,
                "id": "bFW6Rbm6XP",
                "from_name": "kp",
                "type": "keypointlabels",
            }
        ],
        {"points": [[109.46, 195.93]], "labels": [1], "box": None},
    ),
    "a rectangle": (
        CONFIG,
        [
            {
                **FRAME,
                "value": {
                    "x": 36.163537647667155,
                    "y": 46.362515413070284,
                    "width": 12.981782745316416,
                    "height": 9.864364981504309,
                    "rotation": 0,
                    "rectanglelabels": ["Blowhole"],
                },
                "id": "UQmuz0xUy-",
                "from_name": "rect",
                "type": "rectanglelabels",
            }
        ],
        {"points": [], "labels": [], "box": [89.69, 172.93, 121.88, 209.73]},
    ),
    "a click and a negative click of a bare key point": (
        BARE,
        [*keypoint(31.2, 40.5, "4e3LtIRLvR", True), *keypoint(36.8, 45.0, "dtCM0Efr-_", False)],
        {"points": [[77.38, 151.06], [91.26, 167.85]], "labels": [1, 0], "box": None},
    ),
    "a bare rectangle": (
        BARE,
        [
            {
                **FRAME,
                "value": {"x": 25, "y": 50, "width": 50, "height": 25, "rotation": 0},
                "id": "f_hWOExM5y",
                "from_name": "rectangle",
                "type": "rectangle",
            },
            {
                **FRAME,
                "value": {"x": 25, "y": 50, "width": 50, "height": 25, "rotation": 0, "labels": ["Crack"]},
                "id": "f_hWOExM5y",
                "from_name": "lab",
                "type": "labels",
            },
        ],
        {"points": [], "labels": [], "box": [62, 186.5, 186, 279.75]},
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_recorded_prompt_is_read_and_its_answer_is_one_that_label_studio_accepts(name):
    xml, context_result, expected = REQUESTS[name]
    config = LabelingConfig.parse(xml)

    drawn = read_drawn(context_result, config, max_pixels=10**8)
    prompt = drawn.to_prompt(SIZE)

    assert drawn.label == ("Blowhole" if xml is CONFIG else "Crack")
    assert drawn.target.image.source({"image": "/data/upload/1/t1.jpg"}) == "/data/upload/1/t1.jpg"
    np.testing.assert_allclose(prompt.points, np.reshape(expected["points"], (-1, 2)), atol=0.01)
    assert prompt.labels.tolist() == expected["labels"]
    if expected["box"] is None:
        assert prompt.box is None
    else:
        np.testing.assert_allclose(prompt.box, expected["box"], atol=0.01)

    mask = np.zeros(SIZE, bool)
    mask[170:210, 90:120] = True
    answer = prediction(make_regions(mask, drawn.target, label=drawn.label, score=0.8), 0.8, "v1")
    assert {region["from_name"] for region in answer["result"]} == ({"brush"} if xml is CONFIG else {"brush", "lab"})
    assert LabelInterface(xml).validate_prediction(answer, return_errors=True) == []
