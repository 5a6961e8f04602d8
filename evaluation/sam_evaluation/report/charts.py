"""The figures of a report, each from one table and about one data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sam_evaluation.measurement import TOLERANCES
from sam_evaluation.report.findings import Findings
from sam_evaluation.report.phrases import phrase, protocol_order

# The colours of Okabe and Ito, which people with any colour vision can tell apart; their yellow is too faint for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_LINES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D")
_MOST_CLASSES = 16
_WIDTH, _HEIGHT, _DPI = 4.6, 3.1, 180


@dataclass(frozen=True, eq=False)
class Chart:
    """A figure with its title and caption.

    Attributes
    ----------
    kind : str, part of the name of the file, for example "size".
    title : str, what the figure shows.
    caption : str, how to read the figure.
    figure : matplotlib Figure.
    """

    kind: str
    title: str
    caption: str
    figure: Figure

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = self.figure.get_size_inches() * _DPI
        return round(width), round(height)

    def png(self) -> bytes:
        """Return the figure as a PNG file, the same for the same numbers."""
        file = BytesIO()
        self.figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
        return file.getvalue()


def charts(findings: Findings, dataset: str) -> Iterator[Chart]:
    """Yield the figures of a data set for which there are numbers."""
    main = list(findings.answered(dataset))
    drawn = [
        (model, name)
        for model, first in main
        for name in _single_prompts(findings.protocols(dataset, model)) or [first]
    ]

    def of(table: pd.DataFrame, series: Sequence[tuple[str, str]] | None = None) -> pd.DataFrame:
        rows = table[table["dataset"] == dataset] if len(table) else table
        if series is not None and len(rows):
            rows = rows[pd.MultiIndex.from_frame(rows[["model", "protocol"]]).isin(series)]
        return rows

    summary = of(findings.summary, drawn)
    classes = summary[(summary["by"] == "label") & (summary["metric"] == "iou")]
    labels = classes["group"].nunique()
    few = f" Only the {_MOST_CLASSES} classes with the most objects are shown." if labels > _MOST_CLASSES else ""
    for kind, title, caption, draw, table in (
        (
            "size",
            "IoU against size",
            "Mean IoU of groups of objects of similar size, all groups with the same number of objects. The points are "
            f"single objects ({main[0][0]}, {phrase(main[0][1])}). Bands are 95 % intervals."
            if main
            else "",
            lambda axes, table: iou_by_size(axes, table, of(findings.rows, main[:1]), findings.models),
            of(findings.sizes, drawn),
        ),
        (
            "boundary",
            "Boundary F against tolerance",
            "How well the outlines agree within a tolerance in pixels. Bands are 95 % intervals.",
            lambda axes, table: boundary_by_tolerance(axes, table, findings.models),
            summary[(summary["by"] == "all") & summary["metric"].str.startswith("boundary_f_")],
        ),
        (
            "clicks",
            "Clicks to quality",
            "Mean IoU after each click (0: the box alone); each click corrects the largest error of the mask. "
            "Bands are 95 % intervals.",
            lambda axes, table: clicks_to_quality(axes, table, findings.models),
            of(findings.curve),
        ),
        (
            "reliability",
            "Predicted against true IoU",
            "On the dashed line, masks are as good as the model predicts; below it, the model overrates them. Larger "
            "points stand for more objects. Bars are 95 % intervals.",
            lambda axes, table: reliability(axes, table, findings.models),
            of(findings.calibration.reliability),
        ),
        (
            "classes",
            "IoU by class",
            f"Mean IoU of each class, with the number of its objects. Bars are 95 % intervals.{few}",
            lambda axes, table: iou_by_class(axes, table, findings.models),
            classes if labels > 1 else classes.iloc[:0],
        ),
    ):
        if len(table):
            yield Chart(kind, title, caption, _figure(draw, table))


def _single_prompts(protocols: Sequence[str]) -> list[str]:
    """Return which of the protocols `box` and `click` were run; the figures show both."""
    return [name for name in protocols if name in ("box", "click")]


def _figure(draw: Callable[[Axes, pd.DataFrame], float], table: pd.DataFrame) -> Figure:
    """Return a figure with one plot; `draw` returns the factor for the height of the figure."""
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.7)
    axes.set_axisbelow(True)
    height = _HEIGHT * draw(axes, table)
    handles, labels = axes.get_legend_handles_labels()
    columns = 1 if max(map(len, labels)) > 22 else 2
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=10)
    figure.set_figheight(height + 0.2 * -(-len(labels) // columns))
    return figure


def iou_by_size(axes: Axes, curve: pd.DataFrame, rows: pd.DataFrame, models: Sequence[str]) -> float:
    """Draw the mean IoU (`Findings.sizes`) over the area, on top of the single objects `rows`."""
    axes.scatter(rows["area"], rows["iou"], s=9, color="#999999", alpha=0.5, linewidths=0, zorder=1)
    for style, line in _series(curve, models):
        _band(axes, line, "area", style)
    axes.set_xscale("log")
    axes.set(xlabel="area of the object, pixels", ylabel="IoU", ylim=(-0.02, 1.02))
    return 1


def boundary_by_tolerance(axes: Axes, means: pd.DataFrame, models: Sequence[str]) -> float:
    """Draw boundary F (rows of `summary`) over the tolerance."""
    tolerances = {f"boundary_f_{pixels}px": pixels for pixels in TOLERANCES}
    for style, line in _series(means.assign(tolerance=means["metric"].map(tolerances)), models):
        _band(axes, line, "tolerance", style)
    axes.set(xlabel="tolerance, pixels", ylabel="boundary F", ylim=(-0.02, 1.02), xticks=TOLERANCES)
    return 1


def clicks_to_quality(axes: Axes, curve: pd.DataFrame, models: Sequence[str]) -> float:
    """Draw the mean IoU over the clicks (`clicks_curve`)."""
    for style, line in _series(curve, models):
        _band(axes, line, "click", {**style, "label": style["label"].replace(", after", ", up to")})
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="clicks", ylabel="IoU", ylim=(-0.02, 1.02))
    return 1


def reliability(axes: Axes, curve: pd.DataFrame, models: Sequence[str]) -> float:
    """Draw the true IoU over the predicted IoU (`calibration`)."""
    axes.plot([0, 1], [0, 1], color="#777777", linestyle="--", linewidth=1)
    most = curve["objects"].max()
    for style, line in _series(curve, models):
        axes.plot(line["predicted"], line["true"], linestyle=style["linestyle"], color=style["color"], linewidth=1.2)
        axes.scatter(
            line["predicted"],
            line["true"],
            s=12 + 90 * line["objects"] / most,
            color=style["color"],
            marker=style["marker"],
            label=style["label"],
            alpha=0.85,
        )
        _bars(axes.vlines, line["predicted"], line, style["color"])
    axes.set(xlabel="IoU that the model predicts", ylabel="true IoU", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return 1.1


def iou_by_class(axes: Axes, means: pd.DataFrame, models: Sequence[str]) -> float:
    """Draw the mean IoU of each class (rows of `summary`) as bars; the worst class of the first series is on top."""
    series = list(_series(means, models))
    sizes = means.groupby("group")["objects"].max().nlargest(_MOST_CLASSES)
    first = series[0][1].set_index("group")["value"].reindex(sizes.index).sort_values(kind="stable")
    groups, height = list(first.index), 0.8 / len(series)
    for index, (style, line) in enumerate(series):
        line = line[line["group"].isin(groups)]
        places = line["group"].map(groups.index) + (index - (len(series) - 1) / 2) * height
        hatch = {"-": "", "--": "///", ":": "...", "-.": "xx"}[style["linestyle"]]
        axes.barh(
            places, line["value"], height * 0.9, color=style["color"], hatch=hatch, edgecolor="white",
            linewidth=0, label=style["label"], alpha=0.85,
        )  # fmt: skip
        _bars(axes.hlines, places, line, "#222222")
    axes.set(xlabel="IoU", xlim=(0, 1.02), ylim=(len(groups) - 0.5, -0.5))
    names = [f"{plain(_short(str(group)))} ({sizes[group]:,})" for group in groups]
    axes.set_yticks(range(len(groups)), names)
    axes.grid(visible=False, axis="y")
    return max(1.0, 0.3 + len(groups) * (0.06 + 0.045 * len(series)))


def _series(table: pd.DataFrame, models: Sequence[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield the rows of each model and protocol with their style: one colour per model, one line style per protocol."""
    protocols = sorted(table["protocol"].unique(), key=lambda name: (protocol_order(name), name))
    for place, model in enumerate(models):
        for kind, protocol in enumerate(protocols):
            rows = table[(table["model"] == model) & (table["protocol"] == protocol)]
            if len(rows):
                style = {
                    "color": COLOURS[place % len(COLOURS)],
                    "linestyle": _LINES[kind % len(_LINES)],
                    "marker": _MARKERS[kind % len(_MARKERS)],
                    "label": plain(f"{model}, {phrase(protocol)}"),
                }
                yield style, rows


def _band(axes: Axes, line: pd.DataFrame, over: str, style: dict[str, Any]) -> None:
    line = line.sort_values(over)
    axes.plot(line[over], line["value"], markersize=4.5, linewidth=1.8, **style)
    axes.fill_between(line[over], line["low"], line["high"], color=style["color"], alpha=0.13, linewidth=0)


def _bars(draw: Callable[..., object], places: Any, line: pd.DataFrame, colour: str) -> None:
    known = np.asarray(line["low"].notna())
    draw(np.asarray(places)[known], line["low"][known], line["high"][known], color=colour, linewidth=1.1)


def _short(name: str) -> str:
    return name if len(name) <= 20 else name[:19] + "…"


def plain(text: str) -> str:
    """Escape a name so that it is not read as a formula."""
    return text.replace("$", r"\$")
