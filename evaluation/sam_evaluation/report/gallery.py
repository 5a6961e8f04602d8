"""The worst, the median and the best cases of a data set, as pictures side by side."""

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
from sam_evaluation.report.findings import Findings, find, phrase
from sam_evaluation.report.run_datasets import open_dataset

KINDS = ("worst", "median", "best")
EACH = 3
"""Cases of a kind."""

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
    title : what it shows.
    pixels : RGB (S, S, 3).
    """

    title: str
    pixels: Pixels


@dataclass(frozen=True, eq=False)
class Case:
    """One object with what models made of it.

    Attributes
    ----------
    kind : "worst", "median" or "best", by the IoU of the first model.
    file : name of the strip in `figures/`.
    sample, label : its image and class.
    area : pixels.
    panels : the image, the ground truth, and the result of each model.
    """

    kind: str
    file: str
    sample: str
    label: str
    area: int
    panels: tuple[Panel, ...]

    def strip(self) -> Pixels:
        """Return all panels as one picture, side by side."""
        gap = np.full((_SIDE, 6, 3), 255, np.uint8)
        return np.hstack([part for panel in self.panels for part in (panel.pixels, gap)][:-1])


@dataclass(frozen=True, eq=False)
class Gallery:
    """The cases of a data set.

    Attributes
    ----------
    dataset : by name.
    chosen_by : model and protocol whose IoU decides.
    cases : the worst first.
    missing : why there are none or fewer; empty if none is missing.
    """

    dataset: str
    chosen_by: str
    cases: tuple[Case, ...]
    missing: str = ""


def gallery(found: Findings, dataset: str, stem: str) -> Gallery | None:
    """Return the cases of a data set, or why there are none; None where no object was evaluated.

    `stem` is what their files' names begin with.
    """
    answered = list(found.answered(dataset))
    if not answered:
        return None
    model, protocol = answered[0]
    here = found.rows[found.rows["dataset"] == dataset]
    mine = here[(here["model"] == model) & (here["protocol"] == protocol)]
    by = f"{model}, {phrase(protocol)}"
    try:
        source = open_dataset(found.about, dataset)
    except SamInspectError as error:
        return Gallery(dataset, by, (), str(error))
    cases, missing = [], ""
    for place, (kind, row) in enumerate(choose(mine), start=1):
        results = here[
            (here["sample"] == row["sample"])
            & (here["object"] == row["object"])
            & pd.MultiIndex.from_frame(here[["model", "protocol"]]).isin(answered)
        ]
        try:
            cases.append(_case(kind, f"{stem}-{place}-{kind}.png", source, row, results, found))
        except SamInspectError as error:
            missing = f"Some images of {dataset} can no longer be shown: {error}"
    return Gallery(dataset, by, tuple(cases), missing)


def choose(rows: pd.DataFrame, each: int = EACH) -> list[tuple[str, dict[Any, Any]]]:
    """Return the worst, median and best rows by IoU with their kind, no object twice and the lower IoU first.

    They are of different images as far as there are enough. With fewer than three objects, the worst come first.
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
        for _ in range(max(min(each, len(ordered) // 3), 1)):
            free = [place for place in candidates if place not in taken]
            images = {ordered[place]["sample"] for place in taken}
            # An image may hold many objects of one kind: look a little further for another one.
            other = [place for place in free[: 20 * each] if ordered[place]["sample"] not in images]
            taken += (other or free)[:1]
            chosen += [(kind, place) for place in (other or free)[:1]]
    chosen.sort(key=lambda pair: (KINDS.index(pair[0]), pair[1]))
    return [(kind, ordered[place]) for kind, place in chosen]


def _case(kind: str, file: str, source: Dataset, row: dict[Any, Any], results: pd.DataFrame, found: Findings) -> Case:
    sample = source.load(row["sample"])
    size = (int(row["height"]), int(row["width"]))
    things = sample.objects
    if row["object"] >= len(things) or int(things[row["object"]].mask.sum()) != row["area"]:
        raise SamInspectError(f"{row['sample']} has changed since the run.")
    truth = things[row["object"]].mask
    window = _window(truth)
    panels = [
        Panel("image", _picture(sample.image, window)),
        Panel("ground truth", _outlined(sample.image, window, truth, _TRUTH)),
    ]
    for model in found.models:
        result = find(results, model=model)
        if result is not None:
            mask = decode_mask(result["rle"], size)
            title = f"{model}, {phrase(result['protocol'])}: " + (
                f"IoU {result['iou']:.2f}" if mask.any() else "nothing found"
            )
            panels.append(Panel(title, _outlined(sample.image, window, mask, _RESULT)))
    return Case(kind, file, row["sample"], row["label"], int(row["area"]), tuple(panels))


def _window(mask: BoolArray) -> tuple[slice, slice]:
    """Return a square around an object, with context, as far as the image reaches."""
    left, top, right, bottom = mask_box(mask) or (0, 0, *mask.shape[::-1])
    side = max(int(max(right - left, bottom - top) * (1 + 2 * _CONTEXT)), _LEAST)
    found = []
    for start, stop, reach in ((top, bottom, mask.shape[0]), (left, right, mask.shape[1])):
        start = min(max((start + stop - side) // 2, 0), max(reach - side, 0))
        found.append(slice(start, min(start + side, reach)))
    return found[0], found[1]


def _picture(image: Pixels, window: tuple[slice, slice]) -> Pixels:
    """Return the window of an image RGB (H, W, 3) in a square of `_SIDE`, what is not image in grey."""
    part = np.ascontiguousarray(image[window])
    return _centred(cv2.resize(part, _fitted(part.shape[:2]), interpolation=cv2.INTER_CUBIC), 235)


def _outlined(image: Pixels, window: tuple[slice, slice], mask: BoolArray, colour: tuple[int, int, int]) -> Pixels:
    picture = _picture(image, window)
    part = mask[window].astype(np.float32)
    scaled = _centred(cv2.resize(part, _fitted(part.shape), interpolation=cv2.INTER_LINEAR), 0) > 0.5
    picture[scaled] = (0.72 * picture[scaled] + 0.28 * np.array(colour)).astype(np.uint8)
    outlines, _ = cv2.findContours(scaled.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    # A white rim keeps the outline apart from a surface of its own colour.
    cv2.drawContours(picture, outlines, -1, (255, 255, 255), 4, cv2.LINE_AA)
    cv2.drawContours(picture, outlines, -1, colour, 2, cv2.LINE_AA)
    return picture


def _fitted(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return width and height of a shape (H, W) scaled to fit `_SIDE`."""
    scale = _SIDE / max(shape)
    return max(round(shape[1] * scale), 1), max(round(shape[0] * scale), 1)


def _centred(pixels: NDArray[Any], background: int) -> NDArray[Any]:
    square = np.full((_SIDE, _SIDE, *pixels.shape[2:]), background, pixels.dtype)
    top, left = (_SIDE - pixels.shape[0]) // 2, (_SIDE - pixels.shape[1]) // 2
    square[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return square
