"""The metrics against stored values of the reference implementations, and against plain computations."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from sam_evaluation.metrics import assd, boundary_f, boundary_iou, hd95, iou

_DATA = os.environ.get("SAM_INSPECT_DATA")
_REFERENCE = Path(_DATA).parent / "reference" if _DATA else Path("missing")


def pairs() -> Iterator[tuple[dict[str, str], np.ndarray, np.ndarray]]:
    stored = np.load(_REFERENCE / "mask_metrics.npz")
    with (_REFERENCE / "mask_metrics.csv").open() as table:
        for row in csv.DictReader(table):
            shape = int(row["height"]), int(row["width"])
            pred, gt = (
                np.unpackbits(stored[f"{name}_{int(row['pair']):03d}"], count=shape[0] * shape[1]).reshape(shape) > 0
                for name in ("pred", "gt")
            )
            yield row, pred, gt


@pytest.mark.skipif(
    not (_REFERENCE / "mask_metrics.csv").exists(), reason="no reference values beside SAM_INSPECT_DATA"
)
def test_all_pairs_have_the_values_of_the_reference_implementations() -> None:
    count = 0
    for row, pred, gt in pairs():
        ours = {
            "iou": iou(pred, gt),
            "boundary_f_0008": boundary_f(pred, gt),
            "boundary_f_2px": boundary_f(pred, gt, 2),
            "boundary_f_5px": boundary_f(pred, gt, 5),
            "boundary_iou_002": boundary_iou(pred, gt),
        }
        theirs = {name: float(row[name]) for name in ours if row[name]}
        assert {name: ours[name] for name in theirs} == pytest.approx(theirs, abs=1e-9), f"pair {row['pair']}"
        count += 1
    assert count == 52


def plain_surface(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.argwhere(mask & ~inner)


@pytest.mark.parametrize("seed", range(8))
def test_surface_distances_are_those_of_all_pairs_of_outline_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pred, gt = (np.kron(rng.random((9, 12)) < rng.uniform(0.1, 0.7), np.ones((4, 3))) > 0 for _ in range(2))
    distance = cdist(plain_surface(pred), plain_surface(gt))
    there, back = distance.min(1), distance.min(0)
    assert hd95(pred, gt) == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), abs=1e-12)
    assert assd(pred, gt) == pytest.approx(np.concatenate([there, back]).mean(), abs=1e-12)
