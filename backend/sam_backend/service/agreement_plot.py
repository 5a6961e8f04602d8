"""The agreement of proposals with annotators over time, as a drawing and as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from sam_backend.labelstudio.region_changes import Outcome
from sam_backend.service.page_parts import NOTHING, none, share, table, text

_WIDTH, _HEIGHT = 760, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 90, 12, 28
_DATES = 6
"""Most dates below the drawing."""


def summary(agreement: dict[str, Any]) -> str:
    """Return in a sentence how proposals fared, HTML."""
    whole = agreement["all"]
    if not whole["annotations"]:
        return none("No annotation was begun with a proposal yet.")
    left = f" {_counted(agreement['failed'], 'annotation')} could not be compared." if agreement["failed"] else ""
    iou = "" if whole["iou"] is None else f"; kept ones have an IoU of {whole['iou']:.2f} with what was accepted"
    return (
        f"<p>Of {_counted(whole['proposals'], 'proposal')} in {_counted(whole['annotations'], 'annotation')}, "
        f"annotators left {share(whole['unchanged_share'])} unchanged{iou}.{left}</p>"
    )


def plot(periods: Sequence[dict[str, Any]]) -> str:
    """Return the drawing of periods in the order of time, an `svg` element; "" without any."""
    if not periods:
        return ""
    first, last = (date.fromisoformat(periods[place]["start"]).toordinal() for place in (0, -1))
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(period: dict[str, Any]) -> float:
        place = (date.fromisoformat(period["start"]).toordinal() - first) / (last - first) if last > first else 0.5
        return round(_LEFT + place * width, 1)

    def y(value: float) -> float:
        return round(_TOP + (1 - value) * height, 1)

    grid = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + width}" y1="{y(value)}" y2="{y(value)}"/>'
        f'<text x="{_LEFT - 8}" y="{y(value) + 4}" text-anchor="end">{value:.0%}</text>'
        for value in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    every = -(-len(periods) // _DATES)
    dates = "".join(
        f'<text x="{x(one)}" y="{_HEIGHT - 8}" text-anchor="middle">{one["start"]}</text>' for one in periods[::every]
    )
    lines = (
        _line(periods, "iou", "mean IoU", "iou", x, y, _circle),
        _line(periods, "unchanged_share", "unchanged", "unchanged", x, y, _square),
    )
    step = "day" if periods[-1]["days"] == 1 else "week"
    return (
        f'<figure class="scroll"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="agreement-title '
        f'agreement-text"><title id="agreement-title">Agreement of proposals with annotators by {step}</title>'
        f'<desc id="agreement-text">{text(_described(periods, step))}</desc>{grid}{dates}{"".join(lines)}'
        "</svg></figure>"
    )


def periods_table(periods: Sequence[dict[str, Any]]) -> str:
    """Return the periods as a table, the latest first, HTML."""
    step = "day" if periods and periods[0]["days"] == 1 else "week from"
    titles = (step, "annotations", "proposals", "IoU", *(outcome.value for outcome in Outcome), "share unchanged")
    rows = [
        (
            text(one["start"]),
            *(f"{one[name]:,}" for name in ("annotations", "proposals")),
            NOTHING if one["iou"] is None else f"{one['iou']:.3f}",
            *(f"{one['outcomes'][outcome]:,}" for outcome in Outcome),
            share(one["unchanged_share"]),
        )
        for one in reversed(periods)
    ]
    return table(titles, rows) if rows else ""


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _line(
    periods: Sequence[dict[str, Any]],
    name: str,
    title: str,
    kind: str,
    x: Callable[[dict[str, Any]], float],
    y: Callable[[float], float],
    mark: Callable[[float, float], str],
) -> str:
    """Return a line with a mark at each value that there is, and its title at its end."""
    shown = [(x(one), y(one[name]), one) for one in periods if one[name] is not None]
    if not shown:
        return ""
    points = " ".join(f"{across},{down}" for across, down, _ in shown)
    marks = "".join(
        f'<g class="{kind}-mark"><title>{text(one["start"])}: {one[name]:.0%} {text(title)}</title>'
        f"{mark(across, down)}</g>"
        for across, down, one in shown
    )
    # The titles of two lines that end together stand one above the other.
    shift = -2 if kind == "iou" else 12
    label = f'<text x="{_WIDTH - _RIGHT + 10}" y="{shown[-1][1] + shift}">{title}</text>'
    return f'<polyline class="{kind}" points="{points}"/>{marks}{label}'


def _circle(across: float, down: float) -> str:
    return f'<circle cx="{across}" cy="{down}" r="5"/>'


def _square(across: float, down: float) -> str:
    return f'<rect x="{across - 3}" y="{down - 3}" width="6" height="6"/>'


def _described(periods: Sequence[dict[str, Any]], step: str) -> str:
    told = []
    for one in (periods[0], periods[-1])[: len(periods)]:
        iou = "none" if one["iou"] is None else f"{one['iou']:.2f}"
        told.append(f"From {one['start']}: {share(one['unchanged_share'])} unchanged, IoU {iou}.")
    return f"{len(periods)} points, one a {step}; the first and the last: {' '.join(told)}"
