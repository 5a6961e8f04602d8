"""Two models on the same objects: is one better, by how much, and is that sure."""

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
"""Fewer give intervals that are too narrow: the bootstrap cannot draw what it never saw."""

SIGNIFICANCE = 0.05

_SAME = 1e-9


@dataclass(frozen=True)
class Pairing:
    """Two models on the same objects by one protocol, after its last click.

    Differences are B minus A; signed errors are taken by their magnitude.

    Attributes
    ----------
    protocol : by name.
    objects, images : that both have been measured on.
    only_a, only_b : objects that only one has been measured on, left out.
    mean_a, mean_b : over `objects`.
    difference, low, high : of the means, with the interval of the bootstrap over images.
    p : of Wilcoxon's signed-rank test on the images' mean differences, as objects of one image are not independent.
    p_holm : corrected for the number of protocols.
    effect_size : mean difference of objects over its standard deviation (Cohen's d of pairs).
    wins, losses, ties : objects on which B is better than A, worse, and the same.
    sign : 1 where B is surely better, -1 where it is surely worse, 0 where no difference could be shown.
    verdict : one sentence.
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
    """Two models by one metric.

    Attributes
    ----------
    metric : column.
    a, b : what the verdicts call the models.
    pairings : one a protocol that both were run by.
    unpaired_protocols : without any object that both were measured on.
    """

    metric: str
    a: str
    b: str
    pairings: tuple[Pairing, ...]
    unpaired_protocols: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """Return a row a protocol, with the attributes of `Pairing` as columns."""
        return pd.DataFrame([asdict(pairing) for pairing in self.pairings])


def compare(rows_a: pd.DataFrame, rows_b: pd.DataFrame, metric: str = "iou", seed: int = 0) -> Comparison:
    """Compare two models on the objects that both were measured on.

    Objects are paired by data set, sample, object, annotator and protocol, all data sets together, after the last
    click: one that ended early with one model has a last row all the same.

    Parameters
    ----------
    rows_a, rows_b : of objects, each of one model and version.
    metric : column.
    seed : of the intervals.

    Raises
    ------
    EvaluationError
        If rows are of several models, no object is in both, objects of one name differ in area (the data set is
        another one), or a metric or column is unknown.
    """
    kind = metric_named(metric)
    sides = [_side(rows, kind, which) for rows, which in ((rows_a, "A"), (rows_b, "B"))]
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
    found = []
    for protocol, frame in both.groupby("protocol"):
        pairs = frame[frame["value_a"].notna() & frame["value_b"].notna()]
        if pairs.empty:
            continue
        only_a, only_b = int(frame["value_a"].notna().sum()), int(frame["value_b"].notna().sum())
        found.append((str(protocol), pairs, only_a - len(pairs), only_b - len(pairs)))
    if not found:
        raise EvaluationError(f"No object that both have was measured by {metric}; compare by another metric.")
    measured = [_measure(pairs, kind, seed) for _, pairs, _, _ in found]
    corrected = statistics.holm([each.test.p for each in measured])
    pairings = tuple(
        _pairing(each, name, (only_a, only_b), p, kind, (a, b), len(found))
        for each, (name, _, only_a, only_b), p in zip(measured, found, corrected, strict=True)
    )
    one_sided = sorted(set(both["protocol"]) - {name for name, *_ in found})
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
    """Return the shortest names that differ."""
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
    """Tell what is sure: interval and test must both leave out that there is no difference, and agree on its sign."""
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
    """Say what is sure in a sentence."""
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


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _rounded(numbers: Sequence[float]) -> list[str]:
    """Write a value and the ends of its interval with as many decimals as the interval and its inner end deserve."""
    told = [size for size in (numbers[2] - numbers[1], *map(abs, numbers)) if size > _SAME]
    decimals = min(max(math.ceil(-math.log10(min(told))), 0), 6) if told else 0
    return [f"{number:.{decimals}f}" for number in numbers]
