"""The figures of a simulation: clicks, quality and the tuned model's answers, over the number of labelled images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from sam_evaluation.report.charts import COLOURS, Chart
from sam_evaluation.report.numbers import count, number
from sam_evaluation.simulation import summary
from sam_evaluation.simulation.plans import PLAIN
from sam_evaluation.simulation.run_tables import RunTables

CLICKS = "clicks"
"""The most important figure; its file is `figures/clicks.png`."""

_SIZE = (7.2, 4.2)
_LABEL_DISTANCE = 0.055
"""Smallest distance of two labels, as a share of the height of the axes."""


def charts(
    tables: RunTables, arms: Sequence[str], strategies: Sequence[str], levels: pd.DataFrame, title: str
) -> Iterator[Chart]:
    """Yield all figures that have data.

    Parameters
    ----------
    tables : RunTables.
    arms, strategies : names of the arms and of the strategies.
    levels : table of `summary.by_accept`.
    title : title of the data.
    """
    images, seeds = int(tables.images["images"].max()), tables.images["seed"].nunique()
    bands = " Bands are 95 % intervals over seeds." if seeds > 1 else ""
    yield Chart(
        CLICKS,
        f"Clicks to label {count(images, 'image')}",
        "Clicks so far, over the number of labelled images; all arms label the same images in the end."
        f"{' The percentage is relative to plain.' if PLAIN in arms and len(arms) > 1 else ''}{bands}",
        _clicks(summary.clicks_curve(tables, arms), summary.totals(tables, arms), title),
    )
    yield Chart(
        "accept",
        "Clicks by the required IoU",
        "Clicks an object, of an annotator who accepts masks from that IoU: the same clicks on the same masks, "
        f"counted until then.{bands}",
        _by_accept(levels),
    )
    if strategies:
        yield Chart(
            "quality",
            "What the memory learnt",
            "IoU of the memory's class map, mean over the classes, on images that are never labelled. "
            f"The dashed line is the final IoU of random.{bands}",
            _quality(summary.quality_curve(tables, strategies)),
        )
    tuned = summary.tuned_curve(tables, arms)
    if len(tuned):
        yield Chart(
            "tuning",
            "Answers of the tuned model",
            f"Mean IoU of the answers to a tight box and to one click, in images that are never labelled.{bands}",
            _tuned(tuned),
        )


def _axes(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    return figure, axes


def _clicks(curve: pd.DataFrame, totals: pd.DataFrame, title: str) -> Figure:
    figure, axes = _axes("labelled images", "clicks")
    axes.set_title(f"Clicks of a simulated annotator, {title}", loc="left", fontsize=12, fontweight="bold")
    saved_by_arm = totals.set_index("arm")["saved"].to_dict()
    ends: list[tuple[float, str, str]] = []
    for place, (arm, line) in enumerate(curve.groupby("arm", sort=False)):
        # The lines start at zero, so that slopes can be compared.
        start = pd.DataFrame({"images": [0], "value": [0.0], "low": [0.0], "high": [0.0]})
        line = pd.concat([start, line[["images", "value", "low", "high"]]])
        _line(axes, line, COLOURS[place], str(arm))
        saved = float(saved_by_arm[str(arm)])
        change = "" if arm == PLAIN or np.isnan(saved) else f" ({number(-100 * saved, '+z.0f')} %)"
        ends.append((float(line["value"].iloc[-1]), f"{arm}  {line['value'].iloc[-1]:,.0f}{change}", COLOURS[place]))
    axes.set(xlim=(0, int(curve["images"].max())), ylim=(0, 1.25 * float(curve["value"].max())))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    _label(axes, ends)
    return figure


def _by_accept(rows: pd.DataFrame) -> Figure:
    figure, axes = _axes("IoU from which a mask is accepted", "clicks an object")
    for place, (arm, line) in enumerate(rows.groupby("arm", sort=False)):
        line = line.rename(
            columns={"accept": "images", "per_object": "value", "per_object_low": "low", "per_object_high": "high"}
        )
        _line(axes, line, COLOURS[place], str(arm))
    axes.set_xlim(float(rows["accept"].min()), float(rows["accept"].max()))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="upper left")
    return figure


def _quality(curve: pd.DataFrame) -> Figure:
    figure, axes = _axes("labelled images", "mean IoU of the classes")
    most = int(curve["images"].max())
    end = curve[(curve["strategy"] == "random") & (curve["images"] == most)]["value"]
    if len(end):
        axes.axhline(float(end.iloc[0]), color="#777777", linestyle="--", linewidth=1)
    for place, (name, line) in enumerate(curve.groupby("strategy", sort=False)):
        _line(axes, line, COLOURS[place % len(COLOURS)], str(name))
    _images_axis(axes, curve)
    axes.set_ylim(0, 1.25 * float(curve["value"].max()))
    axes.legend(frameon=False, loc="lower right")
    return figure


def _tuned(curve: pd.DataFrame) -> Figure:
    figure, axes = _axes("labelled images", "mean IoU")
    for place, (arm, rows) in enumerate(curve.groupby("arm", sort=False)):
        for prompt, line in rows.groupby("prompt", sort=False):
            style = "-" if prompt == "box" else "--"
            # The answers change only when another model takes over.
            _line(axes, line, COLOURS[2 + place], f"{arm}, {prompt}", style, steps=True)
    axes.set_xlim(0, int(curve["images"].max()))
    axes.legend(frameon=False)
    return figure


def _line(axes: Axes, line: pd.DataFrame, colour: str, label: str, style: str = "-", *, steps: bool = False) -> None:
    x, low = line["images"], line["low"].clip(lower=0)
    axes.plot(
        x,
        line["value"],
        color=colour,
        linestyle=style,
        linewidth=2,
        label=label,
        drawstyle="steps-post" if steps else "default",
    )
    axes.fill_between(x, low, line["high"], color=colour, alpha=0.13, linewidth=0, step="post" if steps else None)


def _images_axis(axes: Axes, curve: pd.DataFrame) -> None:
    """Use a logarithmic axis of images."""
    most = int(curve["images"].max())
    axes.set_xscale("log")
    axes.set_xlim(int(curve["images"].min()), most)
    axes.set_xticks([*(tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if tick < 0.8 * most), most])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _label(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write the label of each line at its right end; labels that would overlap are moved apart."""
    high = axes.get_ylim()[1]
    places: list[float] = []
    for value, _, _ in sorted(ends):
        wanted = value / high
        places.append(max(wanted, places[-1] + _LABEL_DISTANCE) if places else wanted)
    for place, (_, text, colour) in zip(places, sorted(ends), strict=True):
        axes.text(1.015, place, text, transform=axes.transAxes, color=colour, va="center", fontweight="bold")
