"""Whether tuned weights may serve: both models on the same held-out images, compared as `sam-inspect compare` does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sam_backend.finetune.verdict import Verdict
from sam_backend.progress import ProgressCallback
from sam_backend.samples import Sample
from sam_backend.segmenters import Segmenter
from sam_evaluation.comparison import FEWEST_IMAGES, Comparison, Pairing, compare
from sam_evaluation.protocols.named_protocols import EVERYTHING, parse_protocols
from sam_evaluation.requirements import Requirements
from sam_evaluation.row_columns import last_clicks
from sam_evaluation.sample_rows import measured_objects, sample_rows

PROTOCOLS = "box,click,clicks:3"

CORRECTIONS = "clicks:5,box+clicks:4"
"""What is measured where only corrections may change."""

METRICS = ("iou", "boundary_f")
"""The metrics that must not get worse; the first must get better."""

SMALLEST_GAIN = 0.005
"""The smallest gain of the mean IoU that is worth other weights, which people have to get used to.

On a thousand objects a gain of 0.002 is larger than its uncertainty, but no annotator sees it: 0.005 is three or four
pixels of an object that is 30 pixels across. See docs/decisions/015-promotion-gate.md.
"""


@dataclass(frozen=True)
class PromotionGate:
    """The gate of fine-tuning; see `judge` for the rule.

    Attributes
    ----------
    requirements : Requirements of the production line, or None.
    fewest_images : int, the number of held-out images that a verdict needs at least.
    protocols : str, what is measured.
    """

    requirements: Requirements | None = None
    fewest_images: int = FEWEST_IMAGES
    protocols: str = PROTOCOLS

    def __call__(
        self,
        serving: Segmenter,
        candidate: Segmenter,
        names: Sequence[str],
        load: Callable[[str], Sample],
        progress: ProgressCallback,
    ) -> Verdict:
        """Measure both models on the held-out images and judge the candidate; see `sam_backend.finetune.verdict.Gate`.

        Without prompts they are measured only if the requirements need it, since that takes a second or more an image.
        """
        recall = bool(self.requirements and self.requirements.recall)

        def measured(segmenter: Segmenter, what: str) -> pd.DataFrame:
            def show(done: int) -> None:
                progress(done, len(names), f"Measuring {what}")

            return measure(segmenter, map(load, names), self.protocols, everything=recall, progress=show)

        before, after = measured(serving, "what serves"), measured(candidate, "what was tuned")
        return judge(before, after, self.requirements)


def measure(
    segmenter: Segmenter,
    samples: Iterable[Sample],
    protocols: str = PROTOCOLS,
    *,
    everything: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> pd.DataFrame:
    """Return the rows of a segmenter's objects on some samples, as `sam_evaluation.evaluate` makes them.

    Parameters
    ----------
    segmenter : Segmenter to be measured.
    samples : iterable of Sample.
    protocols : str, as in `parse_protocols`.
    everything : bool, whether to measure it without prompts, too.
    progress : function, called with the number of samples done.
    """
    parsed = parse_protocols(f"{protocols},{EVERYTHING}" if everything else protocols)
    rows = []
    for done, sample in enumerate(samples, 1):
        rows += [
            row for row in sample_rows(segmenter, sample, measured_objects(sample), parsed) if row["kind"] == "object"
        ]
        progress(done)
    table = pd.DataFrame(rows).drop(columns="kind")
    return table.assign(model=segmenter.name, version=segmenter.version, dataset="held-out")


def judge(serving: pd.DataFrame, candidate: pd.DataFrame, requirements: Requirements | None = None) -> Verdict:
    """Judge a candidate by rows of the serving model and of itself on the same held-out images.

    It passes if its mean IoU is better with at least one protocol, significantly (interval and test of `compare`) and
    by `SMALLEST_GAIN` at least, its IoU and boundary F are significantly worse with none, and no requirement is met by
    fewer objects than before. A smaller difference, or one within its uncertainty, is no reason for a change that
    people have to get used to.

    Parameters
    ----------
    serving, candidate : DataFrame of `measure`; with `everything` if the requirements have a recall.
    requirements : Requirements of the production line, or None.
    """
    images = serving["sample"].nunique()
    before, after = (rows[rows["protocol"] != EVERYTHING] for rows in (serving, candidate))
    comparisons = {metric: compare(before, after, metric) for metric in METRICS}
    metrics = {
        f"{pairing.protocol}.{metric}": [pairing.mean_a, pairing.mean_b]
        for metric, comparison in comparisons.items()
        for pairing in comparison.pairings
    }
    if images < FEWEST_IMAGES:
        return Verdict(False, f"Only {images} images are held out; {FEWEST_IMAGES} are needed for a verdict.", metrics)
    iou = comparisons[METRICS[0]]
    sure = [pairing for pairing in iou.pairings if pairing.sign > 0]
    better = [_sentence(iou, pairing) for pairing in sure if pairing.difference >= SMALLEST_GAIN]
    worse = [
        _sentence(comparison, pairing)
        for comparison in comparisons.values()
        for pairing in comparison.pairings
        if pairing.sign < 0
    ]
    worse += _less_often_met(serving, candidate, requirements) if requirements else []
    if worse:
        return Verdict(False, " ".join(["Not better in all:", *worse]), metrics)
    if not better:
        why = (
            f"the gain is sure, but smaller than {SMALLEST_GAIN} mean IoU:"
            if sure
            else "the gain is not larger than its uncertainty:"
        )
        sentences = [_sentence(iou, pairing) for pairing in sure or iou.pairings]
        return Verdict(False, " ".join([f"No better than what serves: {why}", *sentences]), metrics)
    return Verdict(True, " ".join(better), metrics)


def _sentence(comparison: Comparison, pairing: Pairing) -> str:
    gain = f"{pairing.difference:+.3f} ({pairing.low:+.3f} to {pairing.high:+.3f})"
    return (
        f"{pairing.protocol}: {comparison.metric} {pairing.mean_a:.3f} -> {pairing.mean_b:.3f}, {gain} on "
        f"{pairing.objects} objects of {pairing.images} images."
    )


def _less_often_met(serving: pd.DataFrame, candidate: pd.DataFrame, requirements: Requirements) -> list[str]:
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
