"""What a fine-tuning reached at each check, and the picture of it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sam_backend.files import write_whole


@dataclass(frozen=True)
class Check:
    """The result of one check on the validation images.

    Attributes
    ----------
    step : int, the steps before it.
    loss : float, mean since the last check; NaN before the first step.
    box, click : float in [0, 1], mean IoU of the validation objects for a tight box, and for a click in the centre.
    """

    step: int
    loss: float
    box: float
    click: float

    @property
    def score(self) -> float:
        """The mean of both IoUs, by which the best weights are chosen."""
        return (self.box + self.click) / 2


def write_curves(checks: Sequence[Check], best: int, path: Path) -> None:
    """Draw the loss and the IoU of the validation images over the steps.

    Parameters
    ----------
    checks : sequence of Check, in the order of their steps.
    best : int, the index of the check whose weights are kept.
    path : Path, the PNG file.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    loss, validation = figure.subplots(1, 2)
    steps = [check.step for check in checks]
    loss.plot(steps, [check.loss for check in checks], color="tab:gray", marker=".")
    loss.set(xlabel="step", ylabel="training loss")
    for name, values, colour in (
        ("a tight box", [check.box for check in checks], "tab:blue"),
        ("one click", [check.click for check in checks], "tab:orange"),
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
