"""The head that ships, in PyTorch and as an ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sam_backend.arrays import FloatArray
from sam_backend.errors import WeightsError
from sam_backend.segmenters.onnx_sessions import open_session
from sam_backend.segmenters.refiner import refiner
from sam_backend.segmenters.refiner.guidance import MAPS, WINDOW

torch = pytest.importorskip("torch", reason="the extra [torch] is not installed")

from sam_backend.finetune.refiner.refiner_export import export_head, load_head  # noqa: E402
from sam_backend.segmenters.refiner.architecture import Head, normalised  # noqa: E402

SHIPPED = Path(refiner.__file__).parent


def answers(folder: Path, head: Head) -> tuple[FloatArray, FloatArray]:
    """Return the logits (S, S) of the served head in a folder, and of a head in PyTorch, for the same window."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (1, WINDOW, WINDOW, 3), np.uint8)
    maps = rng.random((1, MAPS, WINDOW, WINDOW), np.float32)
    features = open_session(SHIPPED / refiner.BACKBONE, 1, "refiner", "").run(None, {"pixels": pixels})
    inputs = {"pixels": pixels, "maps": maps} | {f"features{level}": value for level, value in enumerate(features)}
    served = open_session(folder / refiner.HEAD, 1, "refiner", "").run(None, inputs)[0][0]
    with torch.no_grad():
        trained = head.eval()(
            normalised(torch.from_numpy(pixels)),
            [torch.from_numpy(value) for value in features],
            torch.from_numpy(maps),
        )
    return served, trained[0][0].numpy()


def test_the_weights_that_ship_are_those_of_the_head_that_ships() -> None:
    served, trained = answers(SHIPPED, load_head(SHIPPED))
    np.testing.assert_allclose(served, trained, atol=1e-3)


def test_an_exported_head_answers_as_in_pytorch_and_can_be_tuned_again(tmp_path: Path) -> None:
    head = load_head(SHIPPED)
    with torch.no_grad():
        head.exit.bias += 1.5
    export_head(head, tmp_path)
    served, trained = answers(tmp_path, load_head(tmp_path))
    np.testing.assert_allclose(served, trained, atol=1e-3)
    before, _ = answers(SHIPPED, head)
    np.testing.assert_allclose(served, before + 1.5, atol=0.02)


def test_weights_of_another_net_are_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / refiner.WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="does not hold the weights of a refiner"):
        load_head(tmp_path)
