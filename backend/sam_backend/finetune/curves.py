"""The curves of a training as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sam_backend.files import write_whole


class Point(Protocol):
    """What was measured after some steps; `tuning.Check` is one."""

    @property
    def step(self) -> int:
        """After how many."""

    @property
    def loss(self) -> float:
        """Mean since the point before."""

    @property
    def box(self) -> float:
        """Mean IoU for a tight box."""

    @property
    def click(self) -> float:
        """Mean IoU for a click in the centre."""


def write_curves(points: Sequence[Point], best: int, path: Path) -> None:
    """Draw the loss, and the IoU of the validation images, over steps into a PNG.

    Parameters
    ----------
    points : in the order of their steps.
    best : index of the point whose weights were kept.
    path : of the picture, whole or not there.
    """
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    loss, validation = figure.subplots(1, 2)
    steps = [point.step for point in points]
    loss.plot(steps, [point.loss for point in points], color="tab:gray", marker=".")
    loss.set(xlabel="step", ylabel="training loss")
    for name, values, colour in (
        ("a tight box", [point.box for point in points], "tab:blue"),
        ("one click", [point.click for point in points], "tab:orange"),
    ):
        validation.plot(steps, values, marker=".", color=colour, label=name)
        validation.annotate(
            f"{values[best]:.3f}", (steps[best], values[best]), textcoords="offset points", xytext=(-4, 5), ha="right"
        )
    validation.axvline(steps[best], color="tab:green", linestyle=":", label="kept")
    validation.set(xlabel="step", ylabel="mean IoU, validation images")
    validation.legend()
    for axes in (loss, validation):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_whole(path, picture.getbuffer())
