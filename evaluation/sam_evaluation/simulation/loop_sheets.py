"""The tables in the report of a simulation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from sam_evaluation.report.numbers import CLICKS, NOTHING, PERCENT, SHARE, estimate, listed, number
from sam_evaluation.report.sheet import Sheet
from sam_evaluation.simulation import summary
from sam_evaluation.simulation.plans import ARMS, PLAIN
from sam_evaluation.simulation.run_tables import ALL
from sam_evaluation.simulation.simulation_result import SimulationResult
from sam_evaluation.summary_tables import SIZES

_WHOLE = "z,.0f"


def sheets(
    run: SimulationResult,
    totals: pd.DataFrame,
    levels: pd.DataFrame,
    strategies: pd.DataFrame,
    fates: pd.DataFrame,
    found: pd.DataFrame,
    note: str,
) -> Iterator[Sheet]:
    """Yield all tables of the report; some may have no rows.

    Parameters
    ----------
    run : SimulationResult.
    totals, levels, strategies, fates, found : tables of `summary.totals`, `by_accept`, `strategies_table`, `fates` and
        `found_by_size`.
    note : line below each table.
    """
    yield _sheet(
        "Clicks",
        "All clicks; compared with plain on the same images; and the same with one click more for each label that no "
        "proposal brought. Pixel IoU is the memory's at the end, on images that are never labelled.",
        "arm",
        totals,
        (
            *(("clicks", "clicks", _WHOLE), ("per_object", "an object", CLICKS), ("ratio", "times plain", SHARE)),
            ("labels_ratio", "times plain, with labels", SHARE),
            *(("painted", "painted by hand", PERCENT), ("pixel_iou", "pixel IoU", SHARE)),
        ),
        note,
    )
    yield _by_accept(run, levels, note)
    yield _sheet(
        "What became of the proposals",
        "Accepted unchanged, corrected by clicks, or deleted: shares of the proposals. Missed: share of the objects "
        "without a proposal. Another class: share of the kept proposals.",
        "arm",
        fates,
        (
            ("proposals", "proposals an image", CLICKS),
            *((name, name, PERCENT) for name in ("accepted", "corrected", "deleted", "missed")),
            ("relabelled", "another class", PERCENT),
        ),
        note,
    )
    yield _by_size(found, note)
    yield _by_score(run, note)
    yield _sheet(
        "What to label next",
        "Each strategy by itself, with the memory and without tuning. IoU is the memory's, mean over classes, on "
        "images that are never labelled. Images needed: how many images a strategy needs for the final IoU of random; "
        "a dash if one of the seeds never reached it.",
        "strategy",
        strategies,
        (
            *(("start", "IoU after the first", SHARE), ("half", "after half", SHARE), ("end", "at the end", SHARE)),
            *(("needed", "images needed", _WHOLE), ("clicks", "all clicks", _WHOLE)),
        ),
        note,
    )
    yield _tunings(run, note)


def _sheet(
    title: str, text: str, key: str, table: pd.DataFrame, columns: Sequence[tuple[str, str, str]], note: str
) -> Sheet:
    rows = tuple(
        (str(row[key]), *(estimate(row, style, prefix=f"{name}_") for name, _, style in columns))
        for row in table.to_dict("records")
    )
    return Sheet(title, text, (key, *(head for _, head, _ in columns)), rows, 1, note)


def _by_accept(run: SimulationResult, levels: pd.DataFrame, note: str) -> Sheet:
    """Return a row an arm: clicks an object, and times plain, by the IoU from which a mask is accepted."""
    heads = [f"IoU {level:g}" for level in levels["accept"].unique()]
    rows = []
    for arm in run.arms:
        own = levels[levels["arm"] == arm].to_dict("records")
        ratios = [
            "" if arm == PLAIN or math.isnan(row["ratio"]) else f"; {estimate(row, prefix='ratio_')}" for row in own
        ]
        rows.append(
            (arm, *(f"{number(row['per_object'], CLICKS)}{ratio}" for row, ratio in zip(own, ratios, strict=True)))
        )
    return Sheet(
        "Clicks by the required IoU",
        "Clicks an object, and times plain, of an annotator who accepts masks from a lower IoU: the same clicks on "
        f"the same masks, counted until then. The loop learnt what was accepted at {run.conditions.habits.accept:g}.",
        ("arm", *heads),
        tuple(rows),
        1,
        note,
    )


def _by_size(found: pd.DataFrame, note: str) -> Sheet:
    """Return a row an arm: the share of the objects of each size that have a proposal."""
    rows = []
    for arm, own in found.groupby("arm", sort=False):
        of = {row["size"]: row for row in own.to_dict("records")}
        shares = (
            f"{estimate(of[size], PERCENT, prefix='found_')} of {of[size]['objects']:,}" if size in of else ""
            for size in SIZES
        )
        rows.append((str(arm), *shares))
    return Sheet(
        "Objects that proposals find, by size",
        "Share of the objects that have a proposal with an IoU of at least 0.5, by the pixels of the accepted mask; of "
        "the number of objects, all seeds together.",
        ("arm", *SIZES),
        tuple(rows),
        1,
        note,
    )


def _by_score(run: SimulationResult, note: str) -> Sheet:
    arms = [arm for arm in run.arms if ARMS[arm].memory]
    rows = []
    for arm in arms[:1]:
        for row in summary.fates_by_score(run.tables, arm).to_dict("records"):
            shares = (number(row[name], PERCENT) for name in ("accepted", "corrected", "deleted"))
            rows.append((f"from {row['score']:g}", f"{row['proposals']:,}", *shares))
    return Sheet(
        "Proposals by score",
        f"What became of the proposals of {listed(arms[:1])}, all seeds together. Where most are deleted, it would be "
        "better not to show them.",
        ("score", "proposals", "accepted", "corrected", "deleted"),
        tuple(rows),
        1,
        note,
        folded=True,
    )


def _tunings(run: SimulationResult, note: str) -> Sheet:
    """Return a row a training: in how many seeds it was promoted, and the IoU of the model that served then."""
    rows = []
    quality = run.tables.quality[run.tables.quality["label"] == ALL]
    for arm in run.arms:
        plan = ARMS[arm].name
        own, every = (table[table["plan"] == plan] for table in (quality, run.tables.tunings))
        trainings = every[every["part"] == "model"]
        for images in [own["images"].min(), *sorted(trainings["images"].unique())] if len(trainings) else []:
            here, made = (table[table["images"] == images] for table in (own, trainings))
            means = (number(float(here[prompt].mean())) for prompt in ("box", "click"))
            passed = f"{int(made['passed'].sum())} of {len(made)}" if len(made) else NOTHING
            rows.append((f"{arm}, after {images}", passed, *means))
        for images, made in every[every["part"] == "refiner"].groupby("images"):
            passed = f"{int(made['passed'].sum())} of {len(made)}"
            rows.append((f"{arm}, refiner after {int(str(images))}", passed, NOTHING, NOTHING))
    return Sheet(
        "Tuning",
        "In how many seeds the tuned model or refiner passed its gate, and the mean IoU of the model that served then, "
        "for a tight box and for one click, on images that are never labelled. The reasons are in tunings.csv.",
        ("images", "promoted", "box", "click"),
        tuple(rows),
        1,
        note,
    )
