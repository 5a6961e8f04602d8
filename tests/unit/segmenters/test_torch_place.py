"""A GPU whose memory does not suffice: the model goes on on the CPU and says so. The GPU here is a fake."""

import logging
import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra [torch] is not installed")
pytest.importorskip("segment_anything", reason="the extra [torch] is not installed")

from sam_backend.segmenters import Prompt  # noqa: E402
from sam_backend.segmenters.contract import image_of  # noqa: E402
from sam_backend.segmenters.entries import OWN  # noqa: E402
from sam_backend.segmenters.sam import SamSegmenter, compiled_encoder  # noqa: E402
from sam_backend.segmenters.torch_place import TorchPlace  # noqa: E402
from small_sam import small_sam  # noqa: E402

GPU = "meta"
"""A device of torch that has no memory at all; modules only seem to move there."""

CLICK = [Prompt(np.array([[30.0, 20.0]]), np.array([1]))]


@pytest.fixture
def fake_gpu(monkeypatch):
    """Let modules seem to move to the GPU; return the devices they were moved to."""
    moved = []
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, device: moved.append(device) or module)
    return moved


def full(*_):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def full_on_gpu(work):
    """Return work that only fits into the memory of the CPU."""
    return lambda given, *more, **named: full() if given.is_meta else work(given, *more, **named)


def answer(segmenter):
    (candidates,) = segmenter.decode(segmenter.encode(image_of((40, 60))), CLICK)
    return np.asarray(candidates.masks)


def assert_warned(caplog, name):
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage().startswith(f"The memory of {GPU} does not suffice for {name}: it computes on the CPU")


def test_weights_that_do_not_fit_stay_on_the_cpu(monkeypatch, caplog):
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, device: full() if device == GPU else module)
    segmenter = SamSegmenter(small_sam(side=64), OWN["sam:vit_b"], version="small", device=GPU)
    assert segmenter.device == "cpu"
    assert answer(segmenter).shape == (3, 40, 60)
    assert_warned(caplog, "sam:vit_b")


def test_a_first_click_that_does_not_fit_is_answered_by_the_cpu(fake_gpu, monkeypatch, caplog):
    expected = answer(SamSegmenter(small_sam(side=64), OWN["sam:vit_b"], version="small", device="cpu"))
    segmenter = SamSegmenter(small_sam(side=64), OWN["sam:vit_b"], version="small", device=GPU)
    assert segmenter.device == GPU
    monkeypatch.setattr(segmenter.model, "preprocess", full_on_gpu(segmenter.model.preprocess))
    for _ in range(2):
        assert np.array_equal(answer(segmenter), expected)
    assert segmenter.device == "cpu"
    assert fake_gpu[-2:] == ["cpu", "cpu"]
    assert_warned(caplog, "sam:vit_b")


def test_a_next_click_that_does_not_fit_is_answered_by_the_cpu(fake_gpu, monkeypatch, caplog):
    on_cpu = SamSegmenter(small_sam(side=64), OWN["sam:vit_b"], version="small", device="cpu")
    embedding = on_cpu.encode(image_of((40, 60)))
    segmenter = SamSegmenter(small_sam(side=64), OWN["sam:vit_b"], version="small", device=GPU)
    monkeypatch.setattr(segmenter, "_decoder", full_on_gpu(segmenter._decoder))
    (mine,), (expected,) = (each.decode(embedding, CLICK) for each in (segmenter, on_cpu))
    np.testing.assert_array_equal(mine.logits, expected.logits)
    assert_warned(caplog, "sam:vit_b")


def test_a_model_of_transformers_goes_on_on_the_cpu(tmp_path, fake_gpu, monkeypatch, caplog):
    transformers = pytest.importorskip("transformers", reason="needs the extra transformers")
    from sam_backend.segmenters.interactive import PaddedSegmenter
    from tiny_hub_models import images_of, save_tiny

    save_tiny("slimsam", tmp_path)
    model = transformers.SamModel.from_pretrained(tmp_path)
    segmenter = PaddedSegmenter(model, images_of("slimsam"), OWN["slimsam"], version="tiny", device=GPU)
    monkeypatch.setattr(model, "get_image_embeddings", full_on_gpu(model.get_image_embeddings))
    assert answer(segmenter).shape == (3, 40, 60)
    assert segmenter.device == "cpu"
    assert_warned(caplog, "slimsam")


def test_a_thread_in_work_while_another_moves_the_model_begins_again(fake_gpu):
    place = TorchPlace("sam:vit_b", GPU)
    place.put(torch.nn.Linear(1, 1))
    started, moved = threading.Event(), threading.Event()
    devices = []

    def slow():
        devices.append(place.device)
        if len(devices) == 1:
            started.set()
            assert moved.wait(10)
            raise RuntimeError("Expected all tensors to be on the same device")
        return "answered"

    answers = []
    thread = threading.Thread(target=lambda: answers.append(place.run(slow)))
    thread.start()
    assert started.wait(10)
    assert place.run(lambda: full() if place.device == GPU else "moved") == "moved"
    moved.set()
    thread.join(10)
    assert (answers, devices) == (["answered"], [GPU, "cpu"])


def test_other_errors_and_a_full_cpu_are_raised():
    place = TorchPlace("sam:vit_b", "cpu")
    with pytest.raises(torch.OutOfMemoryError):
        place.run(full)

    def wrong():
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        TorchPlace("sam:vit_b", GPU).run(wrong)


def test_a_compilation_that_does_not_fit_is_no_missing_compiler(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda _: full)
    with pytest.raises(torch.OutOfMemoryError):
        compiled_encoder(small_sam(side=64))
