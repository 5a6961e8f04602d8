"""Whether tuned weights may serve: both models on the same held-out images, told apart as `compare` does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sam_backend.samples import Sample
from sam_backend.segmenters import Segmenter
from sam_evaluation.comparison import FEWEST_IMAGES, Comparison, Pairing, compare
from sam_evaluation.measurement import MeasuredObject, ResultRow, everything_rows, prompted_rows, propose
from sam_evaluation.protocols.named_protocols import EVERYTHING, parse_protocols
from sam_evaluation.requirements import Requirements
from sam_evaluation.row_columns import last_clicks

PROTOCOLS = "box,click,clicks:3"
METRICS = ("iou", "boundary_f")
"""What must not get worse; the first must get better."""

Load = Callable[[str], Sample]


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes
    ----------
    passed : whether the candidate may serve.
    reason : why, in sentences.
    metrics : `protocol.metric` -> means of the serving model and of the candidate on the held-out objects.
    """

    passed: bool
    reason: str
    metrics: dict[str, list[float]]


def measure(
    segmenter: Segmenter,
    names: Sequence[str],
    load: Load,
    *,
    everything: bool = False,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Return the rows of an evaluation, as `sam_evaluation.evaluate` makes them, of a segmenter on some images.

    Parameters
    ----------
    segmenter : to be measured.
    names, load : the images.
    everything : whether also without prompts, which takes a second or more an image.
    seed : of protocols that draw.
    progress : told images done and in all.
    """
    rows = []
    for done, name in enumerate(names):
        progress(done, len(names))
        sample = load(name)
        embedding = segmenter.encode(sample.image)
        targets = [MeasuredObject.of(index, thing) for index, thing in enumerate(sample.objects)]
        found: list[ResultRow] = []
        for protocol in parse_protocols(PROTOCOLS):
            assert protocol is not None
            digest = hashlib.sha256(f"{protocol.name}\n{name}".encode()).digest()
            rng = np.random.default_rng([seed, *digest[:8]])
            found += prompted_rows(protocol, segmenter, embedding, targets, rng)
        if everything:
            height, width = embedding.size
            found += everything_rows(propose(segmenter, embedding), targets, (height, width))[0]
        rows += [{"sample": name, **row} for row in found]
    progress(len(names), len(names))
    table = pd.DataFrame(rows)
    return table.assign(model=segmenter.name, version=segmenter.version, dataset="held-out")


def judge(serving: pd.DataFrame, candidate: pd.DataFrame, requirements: Requirements | None = None) -> Verdict:
    """Judge a candidate by rows of the serving model and of itself, on the same held-out images.

    It passes where its mean IoU is surely better by one protocol at least (interval and test of `compare`), surely
    worse by none in IoU or boundary F, and no requirement is met by fewer objects than before. What differs by less
    than its uncertainty is no reason for a change that people have to get used to.

    Parameters
    ----------
    serving, candidate : of `measure`; with `everything`, where requirements ask for recall.
    requirements : of the line; None where there are none.
    """
    images = serving["sample"].nunique()
    before, after = (rows[rows["protocol"] != EVERYTHING] for rows in (serving, candidate))
    found = {metric: compare(before, after, metric) for metric in METRICS}
    metrics = {
        f"{each.protocol}.{metric}": [each.mean_a, each.mean_b]
        for metric, comparison in found.items()
        for each in comparison.pairings
    }
    if images < FEWEST_IMAGES:
        return Verdict(False, f"Only {images} images are held out; {FEWEST_IMAGES} are needed for a verdict.", metrics)
    better = [_said(found["iou"], each) for each in found["iou"].pairings if each.sign > 0]
    worse = [_said(each, pair) for each in found.values() for pair in each.pairings if pair.sign < 0]
    worse += _requirements_worse(serving, candidate, requirements) if requirements else []
    if worse:
        return Verdict(False, " ".join(["Not better in all:", *worse]), metrics)
    if not better:
        unsure = [_said(found["iou"], each) for each in found["iou"].pairings]
        return Verdict(False, " ".join(["The gain is not larger than its uncertainty:", *unsure]), metrics)
    return Verdict(True, " ".join(better), metrics)


def _said(comparison: Comparison, pairing: Pairing) -> str:
    gain = f"{pairing.difference:+.3f} ({pairing.low:+.3f} to {pairing.high:+.3f})"
    return (
        f"{pairing.protocol}: {comparison.metric} {pairing.mean_a:.3f} -> {pairing.mean_b:.3f}, {gain} on "
        f"{pairing.objects} objects of {pairing.images} images."
    )


def _requirements_worse(serving: pd.DataFrame, candidate: pd.DataFrame, requirements: Requirements) -> list[str]:
    """Return a sentence for each requirement that fewer objects meet than before."""
    worse = []
    before, after = last_clicks(serving), last_clicks(candidate)
    for protocol in before["protocol"].unique():
        shares = [np.nanmean(requirements.met(rows[rows["protocol"] == protocol]), 0) for rows in (before, after)]
        for condition, old, new in zip(requirements.objects, *shares, strict=True):
            if new < old - 1e-9:
                worse.append(f"{protocol}: {condition} is met by {new:.1%} of the objects, by {old:.1%} before.")
    recall = requirements.recall
    if recall:
        kept = [rows[(rows["protocol"] == EVERYTHING) & (rows["area"] >= recall.min_area)] for rows in (before, after)]
        old, new = (float((rows["iou"] >= recall.threshold).mean()) for rows in kept)
        if new < old - 1e-9:
            worse.append(f"{recall}: {new:.1%} of the objects are found, {old:.1%} before.")
    return worse
