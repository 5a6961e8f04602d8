import numpy as np
import pytest

from sam_backend.demo.api import Answer, DemoTask
from sam_backend.demo.demo_error import DemoError
from sam_backend.demo.demo_images import DemoImage
from sam_backend.demo.once import prompt_once
from sam_backend.labelstudio.rle import encode_rle

SIZE = (40, 60)
TASK = DemoTask(id=7, image="/data/upload/1/part.jpg", name="part.jpg", sha256="", predictions=1)


def square(left, top, right, bottom):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


DEFECT = square(10, 10, 40, 30)
IMAGE = DemoImage("part.jpg", np.zeros((*SIZE, 3), np.uint8), "Pit", DEFECT)


class LabelStudioThatAnswers:
    """Answers every prompt with its next answer, and keeps the drawn regions."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.drawn = []

    def prompt(self, backend, task, drawn):
        assert (backend, task) == (3, TASK.id)
        self.drawn.append(drawn)
        return self.answers.pop(0)


def masked(mask, label="Pit", control="mask"):
    region = {"from_name": control, "value": {"rle": encode_rle(mask), "brushlabels": [label]}}
    return Answer([region], 0.9)


def prompt(*answers):
    api = LabelStudioThatAnswers(*answers)
    return prompt_once(api, 3, TASK, image=IMAGE, file=None), api


def test_a_click_a_correction_and_a_box_are_sent_where_a_person_would_draw_them():
    rows, api = prompt(masked(square(10, 10, 40, 22)), masked(DEFECT), masked(DEFECT))
    assert [row.prompt for row in rows] == ["first click", "next click", "box"]
    assert [round(row.iou, 2) for row in rows] == [0.6, 1, 1]
    first, second, box = api.drawn
    assert [region["is_positive"] for region in second] == [True, True]
    assert second[0]["value"] == first[0]["value"]
    x, y = (second[1]["value"][axis] * side / 100 for axis, side in (("x", 60), ("y", 40)))
    assert not square(10, 10, 40, 22)[round(y), round(x)]
    assert DEFECT[round(y), round(x)]
    value = box[0]["value"]
    assert (value["x"], value["y"]) == pytest.approx((100 * 7 / 60, 100 * 7 / 40))
    assert (value["width"], value["height"]) == pytest.approx((100 * 36 / 60, 100 * 26 / 40))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer([], 0.0), "One region was expected for a prompt on part.jpg; got 0."),
        (masked(DEFECT, label="Crack"), r"label Pit was expected on part.jpg; got mask with \['Crack'\]"),
        (masked(DEFECT, control="box"), "control mask .* was expected on part.jpg; got box"),
        (masked(square(0, 0, 0, 0)), "The mask for a prompt on part.jpg is empty."),
    ],
    ids=["nothing", "other label", "other control", "empty mask"],
)
def test_an_answer_that_an_annotator_could_not_use_is_refused(answer, reason):
    with pytest.raises(DemoError, match=reason):
        prompt(answer)


def test_a_mask_that_misses_the_defect_is_refused():
    with pytest.raises(DemoError, match=r"The box on part.jpg should find the defect .* got 0\.00"):
        prompt(masked(DEFECT), masked(DEFECT), masked(square(0, 0, 8, 8)))
