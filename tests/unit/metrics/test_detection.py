"""Matching without prompts: pairs, average recall as COCO counts it, region overlap, calibration."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sam_evaluation.metrics import average_recall, expected_calibration_error, match, pairwise_iou, region_overlap


def some_masks(rng: np.random.Generator, count: int) -> np.ndarray:
    masks = np.zeros((count, 60, 80), bool)
    for mask in masks:
        y, x = rng.integers(0, 50), rng.integers(0, 65)
        mask[y : y + rng.integers(4, 30), x : x + rng.integers(4, 40)] = True
    return masks


def jittered(rng: np.random.Generator, masks: np.ndarray) -> np.ndarray:
    return np.stack([np.roll(mask, rng.integers(-3, 4, 2), (0, 1)) for mask in masks])


def test_average_recall_is_that_of_pycocotools() -> None:
    rng = np.random.default_rng(0)
    truth, result = [], []
    ious, scores = [], []
    for image in range(1, 9):
        gt = some_masks(rng, int(rng.integers(1, 25)))
        pred = np.concatenate([jittered(rng, gt), jittered(rng, gt), some_masks(rng, 10)])
        score = rng.random(len(pred))
        ious.append(pairwise_iou(pred, gt))
        scores.append(score)
        for mask in gt:
            run = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            area = int(mask.sum())
            truth.append(
                {
                    "id": len(truth) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "segmentation": run,
                    "area": area,
                    "iscrowd": 0,
                }
            )
        for mask, value in zip(pred, score, strict=True):
            run = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            result.append({"image_id": image, "category_id": 1, "segmentation": run, "score": float(value)})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": image, "height": 60, "width": 80} for image in range(1, 9)],
            "annotations": truth,
            "categories": [{"id": 1, "name": "defect"}],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(result), "segm")
        evaluation.params.maxDets = [1, 10, 100]
        evaluation.evaluate()
        evaluation.accumulate()
    for index, limit in enumerate((1, 10, 100)):
        theirs = evaluation.eval["recall"][:, 0, 0, index].mean()
        assert average_recall(ious, scores, limit) == pytest.approx(theirs, abs=1e-6)


def test_pairwise_iou_counts_pixels() -> None:
    rng = np.random.default_rng(1)
    pred, gt = some_masks(rng, 5), some_masks(rng, 3)
    expected = [[(a & b).sum() / (a | b).sum() for b in gt] for a in pred]
    np.testing.assert_allclose(pairwise_iou(pred, gt), expected)
    assert pairwise_iou(pred[:0], gt).shape == (0, 3)


def test_a_pair_more_is_worth_more_than_overlap_and_no_object_counts_twice() -> None:
    result = match(np.array([[0.95, 0.5], [0.5, 0.0], [0.94, 0.1]]), 0.5)
    assert sorted(zip(result.pred.tolist(), result.gt.tolist(), strict=True)) == [(0, 1), (2, 0)]
    assert len(match(np.zeros((3, 2)), 0.0).pred) == 0


def test_region_overlap_weighs_each_defect_alike() -> None:
    gt = np.zeros((10, 20), bool)
    gt[0:2, 0:2] = gt[4:10, 4:20] = True
    pred = np.zeros_like(gt)
    pred[0:2, 0:1] = True
    assert region_overlap(pred, gt) == pytest.approx(0.25)
    assert np.isnan(region_overlap(pred, np.zeros_like(gt)))


def test_calibration_refuses_what_was_not_measured() -> None:
    assert expected_calibration_error([1.0, 0.0], [1.0, 0.0]) == 0
    with pytest.raises(ValueError, match="NaN"):
        expected_calibration_error([0.5, np.nan], [0.5, 0.5])
