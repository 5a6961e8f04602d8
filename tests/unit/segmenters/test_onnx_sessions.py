"""The execution provider is the first choice among those that the installed onnxruntime offers."""

import onnxruntime
import pytest

from sam_backend.segmenters.nano import segmenter
from sam_backend.segmenters.onnx_sessions import device_of, execution_providers, open_session


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        (["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"], ["CUDA", "Tensorrt", "CPU"]),
        (["AzureExecutionProvider", "OpenVINOExecutionProvider", "CPUExecutionProvider"], ["OpenVINO", "CPU"]),
        (["AzureExecutionProvider", "CPUExecutionProvider"], ["CPU"]),
    ],
)
def test_the_order_of_providers(monkeypatch, offered, expected):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    assert execution_providers() == expected


def test_a_session_says_what_it_computes_on():
    path = segmenter.__file__.replace("segmenter.py", "encoder.onnx")
    session = open_session(type(segmenter.Path())(path), 1, "model", "install again")
    assert device_of(session) in {name.lower() for name in execution_providers()}
