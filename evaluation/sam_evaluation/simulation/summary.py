"""Means over seeds with their intervals: clicks, fates of the proposals, and quality over labelled images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sam_evaluation.metrics import Floats
from sam_evaluation.simulation.actions import Fate
from sam_evaluation.simulation.plans import ARMS, PLAIN, RANDOM, plan_of_strategy
from sam_evaluation.simulation.run_tables import ALL, RunTables
from sam_evaluation.statistics import LEVEL
from sam_evaluation.summary_tables import SIZES, sizes_of

SCORES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Lower ends of the groups of proposals by score."""

LEVELS = (0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""IoU from which an annotator might accept masks."""

_SHARES = frozenset({"painted", "pixel_iou", "start", "half", "end", *Fate, "missed", "relabelled", "found"})
_SIGNED = frozenset({"saved"})


def over_seeds(values: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return mean, lower and upper end (K,) of the 95 % interval of values (S, K) of S seeds.

    The interval is Student's t: each seed is a repetition with other images in another order. One seed has no interval
    (NaN).

    Examples
    --------
    >>> mean, low, high = over_seeds([[1.0], [2.0], [3.0]])
    >>> float(mean[0]), round(float(high[0] - mean[0]), 2)
    (2.0, 2.48)
    """
    from scipy import stats  # takes half a second

    table = np.asarray(values, np.float64)
    seeds = len(table)
    mean = table.mean(0)
    if seeds < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = stats.t.ppf((1 + LEVEL) / 2, seeds - 1) * table.std(0, ddof=1) / np.sqrt(seeds)
    return mean, mean - half, mean + half


def totals(tables: RunTables, arms: Sequence[str]) -> pd.DataFrame:
    """Return a row an arm.

    Columns arm, and each with `_low` and `_high`: clicks; per_object; ratio and saved (share), relative to `plain` with
    the same seed, thus on the same images; labels_ratio, with one click more for each label that no proposal brought;
    painted (share of the objects); pixel_iou at the end. NaN stands for no value.
    """
    plain = _by_seed(tables.images, ARMS[PLAIN].name)
    rows = []
    for arm in arms:
        plan = ARMS[arm]
        own = _by_seed(tables.images, plan.name)
        last = tables.quality[(tables.quality["plan"] == plan.name) & (tables.quality["label"] == ALL)]
        ends = last.sort_values("images").groupby("seed")["pixel_iou"].last().reindex(own.index)
        with_labels = [side["clicks"] + side[Fate.OUTLINED] + side[Fate.REDRAWN] for side in (own, plain)]
        ratio = (own["clicks"] / plain["clicks"]).reindex(own.index)
        values = {
            "clicks": own["clicks"],
            "per_object": own["clicks"] / own["objects"],
            "ratio": ratio,
            "saved": 1 - ratio,
            "labels_ratio": (with_labels[0] / with_labels[1]).reindex(own.index),
            "painted": own["painted"] / own["objects"],
            "pixel_iou": ends,
        }
        rows.append({"arm": arm, **estimates(values)})
    return pd.DataFrame(rows)


def by_accept(tables: RunTables, arms: Sequence[str], accept: float) -> pd.DataFrame:
    """Return a row an arm and IoU from which a mask might be accepted, up to the IoU `accept` of the runs.

    Columns arm, accept, and each with `_low` and `_high`: per_object (clicks) and ratio relative to `plain`, as
    `clicks_until` counts them on the same actions. The loop still learnt from the masks accepted at `accept`.
    """
    rows = []
    for level in [*(level for level in LEVELS if level < accept), accept]:
        costs = [clicks_until(action, level) for action in tables.actions.itertuples()]
        clicks = tables.actions.assign(clicks=costs).groupby(["plan", "seed"])["clicks"].sum().unstack(0)
        for arm in arms:
            own = clicks[ARMS[arm].name]
            plain = clicks.get(ARMS[PLAIN].name, pd.Series(np.nan, own.index))
            values = {"per_object": own / _by_seed(tables.images, ARMS[arm].name)["objects"], "ratio": own / plain}
            rows.append({"arm": arm, "accept": level, **estimates(values)})
    return pd.DataFrame(rows)


def clicks_until(action: Any, accept: float) -> int:
    """Return the clicks of an action for an annotator who accepts masks from a lower IoU than in the run.

    Parameters
    ----------
    action : object with the attributes of `journal.RecordedAction`.
    accept : IoU in [0, 1], lower than that of the run.
    """
    if action.fate == Fate.DELETED:
        return int(action.clicks)
    if action.iou >= accept:
        return 1 + int(action.relabelled)
    needed = next((click for click, iou in enumerate(action.reached, 1) if iou >= accept), None)
    if needed is None:
        return int(action.clicks)
    # One click deleted a proposal that was redrawn, with its label.
    return needed + (1 if action.fate == Fate.REDRAWN else int(action.relabelled))


def clicks_curve(tables: RunTables, arms: Sequence[str]) -> pd.DataFrame:
    """Return columns arm, images, value, low, high: clicks so far, over the number of labelled images."""
    parts = []
    for arm in arms:
        rows = tables.images[tables.images["plan"] == ARMS[arm].name]
        so_far = rows.pivot_table(index="seed", columns="images", values="clicks").cumsum(axis=1)
        parts.append(_curve(so_far).assign(arm=arm))
    return pd.concat(parts, ignore_index=True)


def quality_curve(tables: RunTables, strategies: Sequence[str]) -> pd.DataFrame:
    """Return columns strategy, images, value, low, high: the memory's pixel IoU, mean over classes."""
    parts = [_curve(_quality(tables, name)).assign(strategy=name) for name in strategies]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def tuned_curve(tables: RunTables, arms: Sequence[str]) -> pd.DataFrame:
    """Return columns arm, prompt, images, value, low, high: mean IoU of the model's answers, in arms that tune it."""
    parts = []
    for arm in arms:
        rows = tables.quality[(tables.quality["plan"] == ARMS[arm].name) & (tables.quality["label"] == ALL)]
        for prompt in ("box", "click") if ARMS[arm].finetune else ():
            by_seed = rows.pivot_table(index="seed", columns="images", values=prompt)
            parts.append(_curve(by_seed).assign(arm=arm, prompt=prompt))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def strategies_table(tables: RunTables, strategies: Sequence[str]) -> pd.DataFrame:
    """Return a row a strategy.

    Columns strategy, and each with `_low` and `_high`: start, half and end (pixel IoU after the first round, after
    about half of the images, and after all); needed, the number of images until the strategy reaches the final IoU of
    `random`, interpolated between rounds, NaN if a seed never reaches it; clicks, all clicks.
    """
    rows = []
    ends = _quality(tables, RANDOM).iloc[:, -1] if strategies else pd.Series(dtype=float)
    for name in strategies:
        curve = _quality(tables, name)
        counts = curve.columns.to_numpy(np.float64)
        middle = int(np.abs(counts - counts[-1] / 2).argmin())
        reached = [
            first_reached(counts, values, ends[seed])
            for seed, values in zip(curve.index, curve.to_numpy(), strict=True)
        ]
        needed = pd.Series(reached, list(curve.index))
        clicks = _by_seed(tables.images, plan_of_strategy(name).name)["clicks"]
        values = {
            "start": curve.iloc[:, 0],
            "half": curve.iloc[:, middle],
            "end": curve.iloc[:, -1],
            "needed": needed,
            "clicks": clicks,
        }
        rows.append({"strategy": name, **estimates(values)})
    return pd.DataFrame(rows)


def first_reached(images: ArrayLike, values: ArrayLike, target: float) -> float:
    """Return the number of images at which a curve first reaches a target, interpolated linearly; NaN if it never does.

    Examples
    --------
    >>> first_reached([10, 20, 40], [0.2, 0.4, 0.6], 0.5)
    30.0
    """
    counts, heights = np.asarray(images, np.float64), np.asarray(values, np.float64)
    reached = np.flatnonzero(heights >= target)
    if not len(reached):
        return float("nan")
    at = int(reached[0])
    if at == 0:
        return float(counts[0])
    share = (target - heights[at - 1]) / (heights[at] - heights[at - 1])
    return float(counts[at - 1] + share * (counts[at] - counts[at - 1]))


def fates(tables: RunTables, arms: Sequence[str]) -> pd.DataFrame:
    """Return a row an arm with proposals.

    Columns arm, and each with `_low` and `_high`: proposals (an image); accepted, corrected and deleted, shares of the
    proposals; missed, share of the objects without a proposal; relabelled, share of the kept proposals.
    """
    rows = []
    for arm in arms:
        if not ARMS[arm].memory:
            continue
        own = _by_seed(tables.images, ARMS[arm].name)
        kept = own[Fate.ACCEPTED] + own[Fate.CORRECTED]
        deleted = own[Fate.DELETED] + own[Fate.REDRAWN]
        shown = kept + deleted
        images = tables.images[tables.images["plan"] == ARMS[arm].name].groupby("seed").size()
        values = {
            "proposals": shown / images,
            "accepted": own[Fate.ACCEPTED] / shown,
            "corrected": own[Fate.CORRECTED] / shown,
            "deleted": deleted / shown,
            "missed": own["missed"] / own["objects"],
            "relabelled": own["relabelled"] / kept,
        }
        rows.append({"arm": arm, **estimates(values)})
    return pd.DataFrame(rows)


def found_by_size(tables: RunTables, arms: Sequence[str]) -> pd.DataFrame:
    """Return a row an arm with proposals and size of an object.

    Columns arm, size (of `SIZES`), objects (of all seeds), and found with `_low` and `_high`: the share of the objects
    that have a proposal. A seed without an object of a size does not count for it.
    """
    rows = []
    objects = tables.actions[tables.actions["fate"] != Fate.DELETED]
    objects = objects.assign(size=sizes_of(objects["area"]), found=objects["score"].notna().astype(float))
    for arm in arms:
        own = objects[(objects["plan"] == ARMS[arm].name) & ARMS[arm].memory]
        for index, size in enumerate(SIZES):
            members = own[own["size"] == index]
            if len(members):
                found = members.groupby("seed")["found"].mean()
                rows.append({"arm": arm, "size": size, "objects": len(members), **estimates({"found": found})})
    return pd.DataFrame(rows, columns=["arm", "size", "objects", "found", "found_low", "found_high"])


def fates_by_score(tables: RunTables, arm: str) -> pd.DataFrame:
    """Return columns score (lower end of the group), proposals, accepted, corrected, deleted; all seeds together."""
    rows = tables.actions[(tables.actions["plan"] == ARMS[arm].name) & tables.actions["score"].notna()]
    group = np.digitize(rows["score"].astype(float), SCORES[1:])
    groups = []
    for index, start in enumerate(SCORES):
        members = rows[group == index]
        fates = members["fate"].replace({Fate.REDRAWN.value: Fate.DELETED.value})
        shares = {fate.value: float((fates == fate).mean()) for fate in (Fate.ACCEPTED, Fate.CORRECTED, Fate.DELETED)}
        groups.append({"score": start, "proposals": len(members), **shares})
    return pd.DataFrame(groups)


def _by_seed(images: pd.DataFrame, plan: str) -> pd.DataFrame:
    """Return the sums of the counts over a plan's images, a row a seed."""
    columns = ["clicks", "objects", *Fate, "missed", "painted", "relabelled"]
    return images[images["plan"] == plan].groupby("seed")[columns].sum()


def _quality(tables: RunTables, strategy: str) -> pd.DataFrame:
    """Return the pixel IoU of a strategy, a row a seed, a column a number of images."""
    rows = tables.quality
    rows = rows[(rows["plan"] == plan_of_strategy(strategy).name) & (rows["label"] == ALL)]
    return rows.pivot_table(index="seed", columns="images", values="pixel_iou")


def _curve(by_seed: pd.DataFrame) -> pd.DataFrame:
    mean, low, high = over_seeds(by_seed.to_numpy())
    return pd.DataFrame({"images": by_seed.columns, "value": mean, "low": low, "high": high})


def estimates(values: Mapping[Any, pd.Series]) -> dict[str, float]:
    """Return means over seeds with their intervals, cut off at the limits of the quantity."""
    known: dict[str, float] = {}
    for name, by_seed in values.items():
        ends = np.concatenate(over_seeds(by_seed.to_numpy(np.float64)[:, None]))
        ends = ends.clip(-np.inf if name in _SIGNED else 0.0, 1.0 if name in _SHARES else np.inf)
        known |= {f"{name}{suffix}": float(end) for suffix, end in zip(("", "_low", "_high"), ends, strict=True)}
    return known
