"""Rows of an evaluation for tests: columns that a test does not name have fixed values."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sam_evaluation.row_columns import METRICS


def objects(*rows: dict[str, Any], **same: Any) -> pd.DataFrame:
    """Return one row per object with protocol box; each has its own image unless `sample` is given."""
    table = []
    for index, row in enumerate(rows):
        given = {**same, **row}
        iou = given.get("iou", 0.5)
        table.append(
            {
                "model": "a",
                "version": "a-1",
                "dataset": "parts",
                "sample": f"{index:03d}.png",
                "object": 0,
                "annotator": 0,
                "label": "scratch",
                "height": 100,
                "width": 100,
                "area": 50,
                "protocol": "box",
                "click": 0,
                **dict.fromkeys(METRICS, 0.5),
                "iou_oracle": iou,
                "predicted_iou": iou,
                **given,
            }
        )
    return pd.DataFrame(table)


def ious(*values: float, **same: Any) -> pd.DataFrame:
    """Return `objects` with these values of IoU."""
    return objects(*({"iou": value} for value in values), **same)


def clicked(*curves: list[float], count: int, box: bool = False, **same: Any) -> pd.DataFrame:
    """Return rows of `clicks:count`, or of `box+clicks:count`: one image per curve, one row per click."""
    return objects(
        *(
            {"sample": f"{image:03d}.png", "click": click, "iou": iou}
            for image, curve in enumerate(curves)
            for click, iou in enumerate(curve, start=0 if box else 1)
        ),
        protocol=f"{'box+' * box}clicks:{count}",
        **same,
    )


def one(table: pd.DataFrame, **where: object) -> pd.Series:
    """Return the only row of a table with these values."""
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1, table
    return table.iloc[0]


def images(*rows: dict[str, Any], **same: Any) -> pd.DataFrame:
    """Return one row per image, without objects and proposals unless given."""
    counts = ("objects", "proposals", "matched_0.1", "matched_0.5", "matched_0.75", "pixels_both", "pixels_either")
    nothing = dict.fromkeys(counts, 0)
    values = dict.fromkeys(
        ("average_recall_10", "average_recall_100", "average_recall_1000", "region_overlap"), float("nan")
    )
    return pd.DataFrame(
        [
            {
                "model": "a",
                "version": "a-1",
                "dataset": "parts",
                "sample": f"{index:03d}.png",
                **nothing,
                **values,
                **same,
                **row,
            }
            for index, row in enumerate(rows)
        ]
    )
