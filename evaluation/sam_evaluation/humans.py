"""How far people agree: several people's outlines of one image against each other, by the metrics used for models."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from sam_backend.errors import SamInspectError
from sam_backend.samples import Object, Sample
from sam_evaluation import metrics
from sam_evaluation.datasets.dataset import Dataset


def human_agreement(dataset: Dataset, names: list[str] | None = None) -> pd.DataFrame:
    """Return how well each person's objects are found again in another person's outlines of the same image.

    For each pair of people who follow each other (the last one is followed by the first), each object of one is
    compared with the other's object that overlaps it most.

    Parameters
    ----------
    dataset : with several annotators an image; images with one are passed over.
    names : of the samples; all by default.

    Returns
    -------
    DataFrame
        Columns sample, annotator, object, area, iou, boundary_f, boundary_iou; without samples that cannot be read.
    """
    rows = []
    for name in dataset.names() if names is None else names:
        try:
            sample = dataset.load(name)
        except SamInspectError:
            continue
        rows += list(_pairs(sample))
    return pd.DataFrame(rows, columns=["sample", "annotator", "object", "area", "iou", "boundary_f", "boundary_iou"])


def _pairs(sample: Sample) -> Iterator[dict[str, object]]:
    people: dict[int, list[tuple[int, Object]]] = {}
    for index, thing in enumerate(sample.objects):
        people.setdefault(thing.annotator, []).append((index, thing))
    if len(people) < 2:
        return
    annotators = sorted(people)
    for annotator, other in zip(annotators, annotators[1:] + annotators[:1], strict=True):
        theirs = [thing for _, thing in people[other]]
        mine = [thing for _, thing in people[annotator]]
        best = metrics.pairwise_iou(*([thing.mask for thing in side] for side in (mine, theirs))).argmax(1)
        for (index, thing), partner in zip(people[annotator], best, strict=True):
            mask = theirs[partner].mask
            yield {
                "sample": sample.name,
                "annotator": annotator,
                "object": index,
                "area": int(np.count_nonzero(thing.mask)),
                "iou": metrics.iou(thing.mask, mask),
                "boundary_f": metrics.boundary_f(thing.mask, mask),
                "boundary_iou": metrics.boundary_iou(thing.mask, mask),
            }
