from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto

from sam_backend.errors import BadRequestError, WeightsError
from sam_backend.pipeline.detector import Detector

LABELS = ("Pit", "Crack", "Dent")

# Of an image (60, 100) in an input of 64 x 64: the scale is 0.64, and 12.8 -> 13 rows of grey are above it.
INPUT = np.array([[6.4, 13 + 6.4, 12.8, 13 + 12.8], [38.4, 13 + 19.2, 57.6, 13 + 32.0]], np.float32)
IN_IMAGE = [[10, 10, 20, 20], [60, 30, 90, 50]]


def centred(boxes):
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)


def outputs(layout):
    scores = np.array([0.9, 0.4], np.float32)
    if layout == "torchvision":
        return {"boxes": INPUT, "labels": np.array([0, 1]), "scores": scores}
    if layout == "batched lists":
        return {"boxes": INPUT[None], "labels": np.array([[0, 1]]), "scores": scores[None]}
    if layout == "end to end":
        return {"output0": np.concatenate([INPUT, scores[:, None], [[0], [1]]], 1, dtype=np.float32)[None]}
    yolo = np.concatenate([centred(INPUT), [[0.9, 0.1, 0.2], [0.2, 0.4, 0.1]]], 1, dtype=np.float32)
    return {"output0": yolo.T[None] if layout == "yolo" else yolo[None]}


@pytest.mark.parametrize("layout", ["torchvision", "batched lists", "end to end", "yolo", "yolo, turned"])
def test_boxes_come_back_in_pixels_of_the_image(scene, onnx_file, layout):
    found = Detector(file=onnx_file(outputs(layout)), labels=LABELS)(scene)
    assert np.array([one.box for one in found]) == pytest.approx(np.array(IN_IMAGE), abs=0.8)
    assert [(one.label, round(one.score, 6)) for one in found] == [("Pit", 0.9), ("Crack", 0.4)]


def test_a_stretched_image_has_another_scale_in_each_direction(scene, onnx_file):
    file = onnx_file({"boxes": np.float32([[32, 32, 64, 64]]), "labels": np.array([0]), "scores": np.float32([0.9])})
    (found,) = Detector(file=file, labels=LABELS, fit="stretch")(scene)
    assert found.box == pytest.approx((50, 30, 100, 60))


@pytest.mark.parametrize(("classes", "activation"), [(4, "auto"), (3, "auto"), (4, "softmax"), (3, "sigmoid")])
def test_the_detr_family_is_read_as_transformers_does(scene, onnx_file, classes, activation):
    torch = pytest.importorskip("torch")
    processors = pytest.importorskip("transformers")
    rng = np.random.default_rng(classes)
    logits = rng.normal(0, 2, (1, 12, classes)).astype(np.float32)
    boxes = rng.uniform(0.2, 0.8, (1, 12, 4)).astype(np.float32) * np.float32([1, 1, 0.4, 0.4])
    file = onnx_file({"logits": logits, "pred_boxes": boxes})
    detector = Detector(file=file, labels=LABELS, fit="stretch", activation=activation, nms_iou=1, min_score=0.5)
    raw = SimpleNamespace(logits=torch.from_numpy(logits), pred_boxes=torch.from_numpy(boxes))
    is_softmax = classes == 4
    processor = processors.DetrImageProcessor() if is_softmax else processors.RTDetrImageProcessor()
    (expected,) = processor.post_process_object_detection(raw, threshold=0.5, target_sizes=[scene.size])
    if not is_softmax:
        # That processor gives a query once for each class; here the best class counts.
        best = {tuple(np.round(box, 3)): index for index, box in reversed(list(enumerate(expected["boxes"].numpy())))}
        expected = {key: value[sorted(best.values())] for key, value in expected.items()}
    order = np.argsort(-expected["scores"].numpy())
    found = detector(scene)
    assert len(found) == len(order) > 0
    height, width = scene.size
    inside = expected["boxes"].numpy()[order].clip(0, [width, height, width, height])
    assert np.array([one.box for one in found]) == pytest.approx(inside, abs=1e-3)
    assert [one.label for one in found] == [LABELS[index] for index in expected["labels"].numpy()[order]]
    assert [one.score for one in found] == pytest.approx(expected["scores"].numpy()[order], abs=1e-6)


def test_boxes_that_overlap_another_of_their_class_are_dropped(scene, onnx_file):
    boxes = np.float32([[10, 20, 30, 40], [10, 20, 30, 39], [10, 20, 30, 38]])
    file = onnx_file({"boxes": boxes, "labels": np.array([0, 0, 1]), "scores": np.float32([0.7, 0.8, 0.6])})
    assert [one.score for one in Detector(file=file, labels=LABELS)(scene)] == pytest.approx([0.8, 0.6])
    assert len(Detector(file=file, labels=LABELS, nms_iou=1)(scene)) == 3


def test_boxes_that_say_nothing_are_dropped(scene, onnx_file):
    boxes = np.float32([[np.nan, 0, 5, 5], [30, 30, 10, 10], [10, 20, 30, 40], [10, 20, 30, 40]])
    scores = np.float32([0.9, 0.9, 0.1, 0.9])
    file = onnx_file({"boxes": boxes, "labels": np.array([0, 0, 7, -1]), "scores": scores})
    assert Detector(file=file, labels=LABELS)(scene) == []


def test_a_sure_box_of_a_class_without_a_label_is_one_sentence(scene, onnx_file):
    boxes, scores = np.float32([[10, 20, 30, 40]]), np.float32([0.9])
    file = onnx_file({"boxes": boxes, "labels": np.array([3]), "scores": scores})
    with pytest.raises(BadRequestError, match=r"gave a box of class 3, counted from 0, but there are 3 labels"):
        Detector(file=file, labels=LABELS)(scene)


@pytest.mark.parametrize(
    "names",
    ["{0: 'Pit', 1: 'Crack', 2: 'Dent'}", '{"1": "Crack", "2": "Dent", "0": "Pit"}', '["Pit", "Crack", "Dent"]'],
)
def test_labels_in_the_file_are_taken(scene, onnx_file, names):
    file = onnx_file(outputs("yolo"), metadata={"names": names})
    assert [one.label for one in Detector(file=file)(scene)] == ["Pit", "Crack"]


def test_a_file_that_fits_no_layout_is_one_sentence(onnx_file, tmp_path):
    with pytest.raises(BadRequestError, match=r"gives scores \[1, 5\] for 3 labels; expected boxes, scores and labels"):
        Detector(file=onnx_file({"scores": np.zeros((1, 5), np.float32)}), labels=LABELS)
    with pytest.raises(BadRequestError, match=r"names no labels; add labels"):
        Detector(file=onnx_file(outputs("yolo")))
    with pytest.raises(BadRequestError, match=r"takes image tensor\(uint8\).*; expected one input"):
        Detector(file=onnx_file(outputs("yolo"), kind=TensorProto.UINT8), labels=LABELS)
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(WeightsError, match="is no ONNX model"):
        Detector(file=tmp_path / "text.onnx", labels=LABELS)
