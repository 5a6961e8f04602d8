"""The calibration of the predicted IoU."""

from __future__ import annotations

import numpy as np
import pytest

from sam_evaluation.metrics import expected_calibration_error

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

from sam_backend.segmenters.nano.architecture import build_nano  # noqa: E402
from sam_research.iou_calibration import calibrate, fit  # noqa: E402 - needs torch


def test_a_model_that_is_too_sure_of_itself_is_told_so() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0.3, 1.0, 4000)
    predicted, iou = (1 / (1 + np.exp(-odds)) for odds in (2 * truth + 0.5, truth + rng.normal(0, 0.1, 4000)))
    slope, offset = fit(predicted, iou)
    assert (slope, offset) == pytest.approx((0.5, -0.25), abs=0.02)
    moved = 1 / (1 + np.exp(-(slope * np.log(predicted / (1 - predicted)) + offset)))
    assert expected_calibration_error(moved, iou) < 0.01 < expected_calibration_error(predicted, iou)


def test_the_calibration_becomes_part_of_the_weights() -> None:
    torch.manual_seed(0)
    model = build_nano()
    features = torch.randn(50, 196)
    with torch.no_grad():
        predicted = torch.sigmoid(model.mask_decoder.iou_head(features))[:, 0].numpy()
        slope, offset = calibrate(model, predicted, predicted**2)
        after = torch.sigmoid(model.mask_decoder.iou_head(features))[:, 0].numpy()
    np.testing.assert_allclose(
        after, 1 / (1 + np.exp(-(slope * np.log(predicted / (1 - predicted)) + offset))), rtol=1e-4
    )
