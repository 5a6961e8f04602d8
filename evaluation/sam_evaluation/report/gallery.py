"""The worst, median and best cases of a data set, as pictures side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_backend.errors import SamInspectError
from sam_backend.masks import mask_box
from sam_evaluation.coco_rle import decode_mask
from sam_evaluation.datasets.dataset import Dataset
from sam_evaluation.report.findings import Findings, find
from sam_evaluation.report.phrases import phrase
from sam_evaluation.report.run_datasets import open_dataset

KINDS = ("worst", "median", "best")
CASES_PER_KIND = 3
"""The number of cases of each kind."""

_SIDE = 288
_CONTEXT = 0.6
_LEAST = 48
_TRUTH, _RESULT = (0, 158, 115), (213, 94, 0)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture of a case.

    Attributes
    ----------
    title : str, what the picture shows.
    pixels : uint8 RGB (S, S, 3).
    """

    title: str
    pixels: Pixels


@dataclass(frozen=True, eq=False)
class Case:
    """One object with the results of the models.

    Attributes
    ----------
    kind : str, "worst", "median" or "best", by the IoU of the first model.
    file : str, the name of the strip in `figures/`.
    sample, label : str, the name of the image, and the class of the object.
    area : int, in pixels.
    panels : tuple of Panel: the image, the ground truth, and the result of each model.
    """

    kind: str
    file: str
    sample: str
    label: str
    area: int
    panels: tuple[Panel, ...]

    def strip(self) -> Pixels:
        """Return all panels side by side as one picture, uint8 RGB (S, W, 3)."""
        gap = np.full((_SIDE, 6, 3), 255, np.uint8)
        return np.hstack([part for panel in self.panels for part in (panel.pixels, gap)][:-1])


@dataclass(frozen=True, eq=False)
class Gallery:
    """The cases of a data set.

    Attributes
    ----------
    dataset : str, its name.
    chosen_by : str, the model and the protocol whose IoU the cases are chosen by.
    cases : tuple of Case, the worst first.
    missing : str, why cases are missing; empty if none is.
    """

    dataset: str
    chosen_by: str
    cases: tuple[Case, ...]
    missing: str = ""


def gallery(findings: Findings, dataset: str, stem: str) -> Gallery | None:
    """Return the cases of a data set, or why there are none; None if no object was evaluated.

    Parameters
    ----------
    findings : Findings of the run.
    dataset : str, its name.
    stem : str, the start of the names of the files.
    """
    answered = list(findings.answered(dataset))
    if not answered:
        return None
    model, protocol = answered[0]
    rows = findings.rows[findings.rows["dataset"] == dataset]
    ranked = rows[(rows["model"] == model) & (rows["protocol"] == protocol)]
    chosen_by = f"{model}, {phrase(protocol)}"
    try:
        source = open_dataset(findings.about, dataset)
    except SamInspectError as error:
        return Gallery(dataset, chosen_by, (), str(error))
    cases, missing = [], ""
    for place, (kind, row) in enumerate(choose(ranked), start=1):
        results = rows[
            (rows["sample"] == row["sample"])
            & (rows["object"] == row["object"])
            & pd.MultiIndex.from_frame(rows[["model", "protocol"]]).isin(answered)
        ]
        try:
            cases.append(_case(kind, f"{stem}-{place}-{kind}.png", source, row, results, findings.models))
        except SamInspectError as error:
            missing = f"Some images of {dataset} can no longer be shown: {error}"
    return Gallery(dataset, chosen_by, tuple(cases), missing)


def choose(rows: pd.DataFrame, per_kind: int = CASES_PER_KIND) -> list[tuple[str, dict[Any, Any]]]:
    """Return the kinds and the rows of the worst, median and best objects by IoU, the lowest IoU first.

    No object occurs twice. The objects are from different images if there are enough images. With fewer than three
    objects, the worst are chosen first.
    """
    ordered = rows.sort_values(["iou", "sample", "object"], kind="stable").to_dict("records")
    places = range(len(ordered))
    towards = {
        "worst": places,
        "best": places[::-1],
        "median": sorted(places, key=lambda place: abs(place - len(ordered) // 2)),
    }
    taken: list[int] = []
    chosen: list[tuple[str, int]] = []
    for kind, candidates in towards.items():
        for _ in range(max(min(per_kind, len(ordered) // 3), 1)):
            free = [place for place in candidates if place not in taken]
            images = {ordered[place]["sample"] for place in taken}
            # An image may have many similar objects: look a little further for another image.
            other = [place for place in free[: 20 * per_kind] if ordered[place]["sample"] not in images]
            taken += (other or free)[:1]
            chosen += [(kind, place) for place in (other or free)[:1]]
    chosen.sort(key=lambda pair: (KINDS.index(pair[0]), pair[1]))
    return [(kind, ordered[place]) for kind, place in chosen]


def _case(
    kind: str, file: str, source: Dataset, row: dict[Any, Any], results: pd.DataFrame, models: tuple[str, ...]
) -> Case:
    sample = source.load(row["sample"])
    size = (int(row["height"]), int(row["width"]))
    objects = sample.objects
    if row["object"] >= len(objects) or int(objects[row["object"]].mask.sum()) != row["area"]:
        raise SamInspectError(f"{row['sample']} has changed since the run.")
    truth = objects[row["object"]].mask
    window = _window(truth)
    panels = [
        Panel("image", _picture(sample.image, window)),
        Panel("ground truth", _outlined(sample.image, window, truth, _TRUTH)),
    ]
    for model in models:
        result = find(results, model=model)
        if result is not None:
            mask = decode_mask(result["rle"], size)
            title = f"{model}, {phrase(result['protocol'])}: " + (
                f"IoU {result['iou']:.2f}" if mask.any() else "nothing found"
            )
            panels.append(Panel(title, _outlined(sample.image, window, mask, _RESULT)))
    return Case(kind, file, row["sample"], row["label"], int(row["area"]), tuple(panels))


def _window(mask: BoolArray) -> tuple[slice, slice]:
    """Return a square around an object with some context, inside the image."""
    left, top, right, bottom = mask_box(mask) or (0, 0, *mask.shape[::-1])
    side = max(int(max(right - left, bottom - top) * (1 + 2 * _CONTEXT)), _LEAST)
    window = []
    for start, stop, reach in ((top, bottom, mask.shape[0]), (left, right, mask.shape[1])):
        start = min(max((start + stop - side) // 2, 0), max(reach - side, 0))
        window.append(slice(start, min(start + side, reach)))
    return window[0], window[1]


def _picture(image: Pixels, window: tuple[slice, slice]) -> Pixels:
    """Return the window of an image uint8 RGB (H, W, 3), scaled to a square of `_SIDE`; the rest of it is grey."""
    part = np.ascontiguousarray(image[window])
    return _centred(cv2.resize(part, _fitted(part.shape[:2]), interpolation=cv2.INTER_CUBIC), 235)


def _outlined(image: Pixels, window: tuple[slice, slice], mask: BoolArray, colour: tuple[int, int, int]) -> Pixels:
    picture = _picture(image, window)
    part = mask[window].astype(np.float32)
    scaled = _centred(cv2.resize(part, _fitted(part.shape), interpolation=cv2.INTER_LINEAR), 0) > 0.5
    picture[scaled] = (0.72 * picture[scaled] + 0.28 * np.array(colour)).astype(np.uint8)
    outlines, _ = cv2.findContours(scaled.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    # A white rim makes the outline visible on a surface of the same colour.
    cv2.drawContours(picture, outlines, -1, (255, 255, 255), 4, cv2.LINE_AA)
    cv2.drawContours(picture, outlines, -1, colour, 2, cv2.LINE_AA)
    return picture


def _fitted(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the width and height of a shape (H, W) that is scaled to fit `_SIDE`."""
    scale = _SIDE / max(shape)
    return max(round(shape[1] * scale), 1), max(round(shape[0] * scale), 1)


def _centred(pixels: NDArray[Any], background: int) -> NDArray[Any]:
    square = np.full((_SIDE, _SIDE, *pixels.shape[2:]), background, pixels.dtype)
    top, left = (_SIDE - pixels.shape[0]) // 2, (_SIDE - pixels.shape[1]) // 2
    square[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return square
