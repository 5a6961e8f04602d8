"""Comparison of two models on the same objects: which is better, by how much, and how sure this is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from sam_evaluation import statistics
from sam_evaluation.errors import EvaluationError
from sam_evaluation.row_columns import OBJECT, RUN, Metric, judged, last_clicks, metric_named, object_rows

FEWEST_IMAGES = 10
"""With fewer images the intervals are too narrow: the bootstrap draws only from the images there are."""

SIGNIFICANCE = 0.05

_SAME = 1e-9


@dataclass(frozen=True)
class Pairing:
    """The comparison of two models, A and B, on the same objects with one protocol, after its last click.

    Differences are B minus A. Signed errors are compared by their absolute values.

    Attributes
    ----------
    protocol : str, its name.
    objects, images : int, how many both models were measured on.
    only_a, only_b : int, how many objects only one model was measured on; they are left out.
    mean_a, mean_b : float, the means over `objects`.
    difference, low, high : float, the difference of the means and its 95 % interval (bootstrap over images).
    p : float, the p-value of Wilcoxon's signed-rank test on the mean differences of the images. Single objects are not
        tested, since objects of one image are not independent.
    p_holm : float, `p` corrected for the number of protocols.
    effect_size : float, the mean difference of the objects over its standard deviation (Cohen's d of pairs).
    wins, losses, ties : int, on how many objects B is better than A, worse, or equal.
    sign : int, 1 if B is significantly better, -1 if it is significantly worse, 0 if no difference could be shown.
    verdict : str, one sentence.
    """

    protocol: str
    objects: int
    images: int
    only_a: int
    only_b: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    effect_size: float
    wins: int
    losses: int
    ties: int
    sign: int
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """The comparison of two models by one metric.

    Attributes
    ----------
    metric : str, the column.
    a, b : str, the names of the models in the verdicts.
    pairings : tuple of Pairing, one for each protocol that was run with both models.
    unpaired_protocols : tuple of str, the protocols without an object that both models were measured on.
    """

    metric: str
    a: str
    b: str
    pairings: tuple[Pairing, ...]
    unpaired_protocols: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """Return one row per protocol, with the attributes of `Pairing` as columns."""
        return pd.DataFrame([asdict(pairing) for pairing in self.pairings])


def compare(rows_a: pd.DataFrame, rows_b: pd.DataFrame, metric: str = "iou", seed: int = 0) -> Comparison:
    """Compare two models on the objects that both were measured on.

    Objects are paired by data set, sample, object, annotator and protocol, over all data sets together. The row after
    the last click counts, even if an object got fewer clicks with one of the models.

    Parameters
    ----------
    rows_a, rows_b : DataFrame, the rows of the objects, each of one model and version.
    metric : str, the column to compare by.
    seed : int, the seed of the intervals.

    Raises
    ------
    EvaluationError
        If the rows are of several models, no object is in both, an object differs in area (so the data sets differ),
        or a metric or column is unknown.
    """
    compared = metric_named(metric)
    sides = [_side(rows, compared, which) for rows, which in ((rows_a, "A"), (rows_b, "B"))]
    a, b = _names(*(side.name for side in sides))
    keys = [*OBJECT, "protocol"]
    both = sides[0].rows.merge(sides[1].rows, on=keys, how="outer", suffixes=("_a", "_b"), indicator="side")
    paired = both[both["side"] == "both"]
    if paired.empty:
        raise EvaluationError("The two have no object and protocol in common; evaluate both on the same data set.")
    changed = paired[paired["area_a"] != paired["area_b"]]
    if len(changed):
        first = changed.iloc[0]
        raise EvaluationError(
            f"Object {first['object']} of {first['sample']} in {first['dataset']} covers {first['area_a']:.0f} px in "
            f"one and {first['area_b']:.0f} px in the other; evaluate both on the same version of the data set."
        )
    protocols = []
    for protocol, frame in both.groupby("protocol"):
        pairs = frame[frame["value_a"].notna() & frame["value_b"].notna()]
        if pairs.empty:
            continue
        only_a, only_b = int(frame["value_a"].notna().sum()), int(frame["value_b"].notna().sum())
        protocols.append((str(protocol), pairs, only_a - len(pairs), only_b - len(pairs)))
    if not protocols:
        raise EvaluationError(f"No object of both sides was measured by {metric}; compare by another metric.")
    measured = [_measure(pairs, compared, seed) for _, pairs, _, _ in protocols]
    corrected = statistics.holm([pairs.test.p for pairs in measured])
    pairings = tuple(
        _pairing(pairs, name, (only_a, only_b), p, compared, (a, b), len(protocols))
        for pairs, (name, _, only_a, only_b), p in zip(measured, protocols, corrected, strict=True)
    )
    one_sided = sorted(set(both["protocol"]) - {name for name, *_ in protocols})
    return Comparison(metric, a, b, pairings, tuple(one_sided))


@dataclass(frozen=True, eq=False)
class _Side:
    name: tuple[str, ...]
    rows: pd.DataFrame


def _side(rows: pd.DataFrame, metric: Metric, which: str) -> _Side:
    last = last_clicks(object_rows(rows))
    runs = list(last[list(RUN)].drop_duplicates().itertuples(index=False, name=None))
    if len(runs) != 1:
        named = ", ".join(" ".join(run) for run in runs) or "none"
        raise EvaluationError(f"A comparison takes one model a side; {which} has {named}. Keep the rows of one.")
    columns = [*OBJECT, "protocol", "area"]
    return _Side(tuple(str(part) for part in runs[0]), last[columns].assign(value=judged(last, metric)))


def _names(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, str]:
    """Return the shortest names by which the two models can be told apart."""
    if a[0] != b[0]:
        return a[0], b[0]
    return (" ".join(a), " ".join(b)) if a != b else (f"A ({a[0]})", f"B ({b[0]})")


@dataclass(frozen=True, eq=False)
class _Measured:
    pairs: pd.DataFrame
    difference: statistics.Estimate
    test: statistics.SignedRank
    effect_size: float
    better: int
    worse: int


def _measure(pairs: pd.DataFrame, metric: Metric, seed: int) -> _Measured:
    images = pairs.groupby(["dataset", "sample"], sort=True).ngroup()
    differences = pairs["value_b"] - pairs["value_a"]
    gain = differences if metric.higher_is_better else -differences
    return _Measured(
        pairs,
        statistics.paired_difference(pairs["value_a"], pairs["value_b"], images, seed),
        statistics.signed_rank(differences.groupby(images).mean()),
        statistics.effect_size(differences),
        int((gain > _SAME).sum()),
        int((gain < -_SAME).sum()),
    )


def _pairing(
    measured: _Measured,
    protocol: str,
    only: tuple[int, int],
    p: float,
    metric: Metric,
    names: tuple[str, str],
    protocols: int,
) -> Pairing:
    estimate = measured.difference
    return Pairing(
        protocol,
        estimate.objects,
        estimate.images,
        *only,
        float(measured.pairs["value_a"].mean()),
        float(measured.pairs["value_b"].mean()),
        estimate.value,
        estimate.low,
        estimate.high,
        measured.test.p,
        p,
        measured.effect_size,
        measured.better,
        measured.worse,
        estimate.objects - measured.better - measured.worse,
        _sign(estimate, measured.test, p, metric),
        _verdict(estimate, measured.test, p, metric, names, protocol, protocols),
    )


def _sign(estimate: statistics.Estimate, test: statistics.SignedRank, p: float, metric: Metric) -> int:
    """Return `Pairing.sign`: both the interval and the test must exclude a difference of 0, and agree on its sign."""
    sign = 1 if estimate.value > 0 else -1
    inner = min(sign * estimate.low, sign * estimate.high)
    if estimate.images < FEWEST_IMAGES or not inner > 0 or not p < SIGNIFICANCE or np.sign(test.correlation) != sign:
        return 0
    return sign if metric.higher_is_better else -sign


def _verdict(
    estimate: statistics.Estimate,
    test: statistics.SignedRank,
    p: float,
    metric: Metric,
    names: tuple[str, str],
    protocol: str,
    protocols: int,
) -> str:
    """Return the result as one sentence."""
    a, b = names
    unit = f" {metric.unit}" if metric.unit else ""
    where = f"on {_count(estimate.objects, 'object')} of {_count(estimate.images, 'image')} with protocol {protocol}"
    if estimate.images < FEWEST_IMAGES:
        return f"Too few images to tell {b} from {a} by {metric.title} {where}: at least {FEWEST_IMAGES} are needed."
    sign = _sign(estimate, test, p, metric)
    if sign:
        ends = sorted((abs(estimate.low), abs(estimate.high)))
        better = "better" if sign > 0 else "worse"
        numbers = _rounded([abs(estimate.value), *ends])
        return f"{b} is {better} than {a} by {numbers[0]}{unit} {metric.title} ({numbers[1]} to {numbers[2]}) {where}."
    numbers = _rounded([estimate.value, estimate.low, estimate.high])
    tested = f"p = {p:.2g}" + (f" corrected for {protocols} protocols" if protocols > 1 else "")
    return (
        f"No difference could be shown between {b} and {a}: {numbers[0]}{unit} {metric.title} "
        f"({numbers[1]} to {numbers[2]}, signed-rank {tested}) {where}."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _rounded(numbers: Sequence[float]) -> list[str]:
    """Return a value and the ends of its interval as text; the smallest number gets one significant digit."""
    sizes = [size for size in (numbers[2] - numbers[1], *map(abs, numbers)) if size > _SAME]
    decimals = min(max(math.ceil(-math.log10(min(sizes))), 0), 6) if sizes else 0
    return [f"{number:.{decimals}f}" for number in numbers]
