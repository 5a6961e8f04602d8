"""Agreement of people: the outlines of one image by several people, compared by the metrics for models."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from sam_backend.errors import SamInspectError
from sam_backend.samples import Object, Sample
from sam_evaluation import metrics
from sam_evaluation.datasets.dataset import Dataset


def human_agreement(dataset: Dataset, names: list[str] | None = None) -> pd.DataFrame:
    """Return how well each object of one person agrees with another person's outlines of the same image.

    The annotators of an image are paired in order: each with the next, and the last with the first. In each pair, each
    object of the first person is compared with the object of the second person that overlaps it most.

    Parameters
    ----------
    dataset : Dataset. Images with only one annotator are skipped.
    names : list of str, the names of the samples; all samples by default.

    Returns
    -------
    DataFrame
        Columns sample, annotator, object, area, iou, boundary_f, boundary_iou. Unreadable samples are left out.
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
    for index, target in enumerate(sample.objects):
        people.setdefault(target.annotator, []).append((index, target))
    if len(people) < 2:
        return
    annotators = sorted(people)
    for annotator, other in zip(annotators, annotators[1:] + annotators[:1], strict=True):
        theirs = [target.mask for _, target in people[other]]
        own = [target.mask for _, target in people[annotator]]
        best = metrics.pairwise_iou(own, theirs).argmax(1)
        for (index, target), partner in zip(people[annotator], best, strict=True):
            mask, partner_mask = target.mask, theirs[partner]
            yield {
                "sample": sample.name,
                "annotator": annotator,
                "object": index,
                "area": int(np.count_nonzero(mask)),
                "iou": metrics.iou(mask, partner_mask),
                "boundary_f": metrics.boundary_f(mask, partner_mask),
                "boundary_iou": metrics.boundary_iou(mask, partner_mask),
            }
