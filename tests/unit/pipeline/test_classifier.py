import numpy as np
import onnx
import pytest

from sam_backend.errors import BadRequestError
from sam_backend.pipeline.classifier import Classify
from sam_backend.pipeline.scene import ProposedMask
from sam_backend.samples import Cropped

COLOURS = ("red", "green", "blue")
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (0.1, 0.1, 0.1)}


@pytest.fixture
def masks(image):
    """Return the mask of each coloured part."""
    return [ProposedMask(Cropped.of(image[..., channel] > 0), None, 0.8) for channel in range(3)]


def test_each_mask_is_named_by_the_crop_around_it(scene, masks, onnx_file):
    # The file gives the mean of each channel, so the classes are colours; logits of 10 and 0 have a share of 0.9999.
    named = Classify(file=onnx_file({"mean": None}), labels=COLOURS, margin=0.0, **PLAIN)(scene, masks)
    assert [one.label for one in named] == list(COLOURS)
    assert [one.score for one in named] == pytest.approx([0.8] * 3, abs=1e-3)
    assert [one.mask for one in named] == [one.mask for one in masks]


def test_masks_of_a_dropped_label_or_of_a_doubtful_one_go(scene, masks, onnx_file):
    file = onnx_file({"mean": None})
    named = Classify(file=file, labels=COLOURS, margin=0.0, drop=("red",), **PLAIN)(scene, masks)
    assert [one.label for one in named] == ["green", "blue"]
    # With as much black around each part, the probabilities are nearer to each other.
    assert Classify(file=file, labels=COLOURS, margin=4.0, min_score=0.99, **PLAIN)(scene, masks) == []


def test_probabilities_are_taken_as_they_are(scene, masks, onnx_file):
    file = onnx_file({"shares": np.float32([[0.2, 0.7, 0.1]])})
    named = Classify(file=file, labels=COLOURS)(scene, masks[:1])
    assert (named[0].label, named[0].score) == ("green", pytest.approx(0.8 * 0.7))


def test_a_file_that_does_not_fit_is_one_sentence(onnx_file):
    with pytest.raises(BadRequestError, match="gives 3 classes, but there are 2 labels"):
        Classify(file=onnx_file({"mean": None}), labels=COLOURS[:2])
    with pytest.raises(BadRequestError, match=r"expected classes as \[1, C\]"):
        Classify(file=onnx_file({"map": np.zeros((1, 3, 8, 8), np.float32)}), labels=COLOURS)
    with pytest.raises(BadRequestError, match="names no labels"):
        Classify(file=onnx_file({"mean": None}))


def test_an_answer_that_does_not_fit_the_labels_is_one_sentence(scene, masks, onnx_file):
    nan = onnx_file({"classes": np.float32([[0.1, np.nan, 0.3]])})
    with pytest.raises(BadRequestError, match=r"net.onnx gave \[.*\] for 3 labels; expected a number each"):
        Classify(file=nan, labels=COLOURS)(scene, masks)
    # One class for each value of the input, whose size is open.
    file = onnx_file({"classes": None}, size=("height", "width"))
    model = onnx.load(file)
    model.graph.node[0].CopyFrom(onnx.helper.make_node("Flatten", ["image"], ["classes"]))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "any"
    onnx.save(model, file)
    with pytest.raises(BadRequestError, match=r"gave \[.*\] for 3 labels"):
        Classify(file=file, labels=COLOURS, size=8)(scene, masks)
