import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sam_backend.pipeline.scene import Scene
from sam_backend.segmenters.correcting import Correcting
from threshold_segmenter import ThresholdSegmenter


@pytest.fixture
def image():
    """Return an image (60, 100) with a red part, a green part and a blue one on black."""
    pixels = np.zeros((60, 100, 3), np.uint8)
    pixels[10:20, 10:30, 0] = pixels[30:50, 10:20, 1] = pixels[30:50, 60:90, 2] = 255
    return pixels


@pytest.fixture
def scene(image):
    segmenter = Correcting(ThresholdSegmenter())
    return Scene(segmenter, segmenter.encode(image))


@pytest.fixture
def onnx_file(tmp_path):
    """Return a function that writes an ONNX file whose outputs are constants, or the mean of each channel."""

    def write(outputs, *, size=(64, 64), metadata=(), name="net.onnx", kind=TensorProto.FLOAT):
        nodes, given = [], []
        for output, values in outputs.items():
            if values is None:
                nodes.append(helper.make_node("ReduceMean", ["image"], [output], axes=[2, 3], keepdims=0))
                given.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, 3]))
                continue
            constant = numpy_helper.from_array(np.asarray(values))
            nodes.append(helper.make_node("Constant", [], [output], value=constant))
            given.append(helper.make_tensor_value_info(output, constant.data_type, list(constant.dims)))
        shape = helper.make_tensor_value_info("image", kind, [1, 3, *size])
        graph = helper.make_graph(nodes, "net", [shape], given)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        helper.set_model_props(model, dict(metadata))
        path = tmp_path / name
        onnx.save(model, path)
        return path

    return write
