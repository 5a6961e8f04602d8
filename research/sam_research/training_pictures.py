"""Pictures of a training: its curves, and the model's answers in held-out scenes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sam_backend.files import write_whole
from sam_research.nano_validation import PROMPTS, Answers

CURVES = "curves.png"
SAMPLES = "samples.png"
FAILURES = "failures.png"

_COLOURS = {"box": "tab:blue", "click": "tab:orange", "corrected": "tab:green"}


def write_curves(steps: Sequence[dict[str, Any]], checks: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw loss, IoU and calibration over the steps.

    Parameters
    ----------
    steps, checks : sequences of dict, the lines of the two logs, see `sam_research.training_log`.
    path : Path, the PNG file.
    """
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    loss, iou, calibration = figure.subplots(1, 3)
    loss.plot([line["step"] for line in steps], [line["loss"] for line in steps], color="tab:gray")
    loss.set(title="Training loss, running mean", xlabel="step")
    for prompt in PROMPTS:
        seen = [line for line in steps if prompt in line]
        iou.plot([line["step"] for line in seen], [line[prompt] for line in seen], color=_COLOURS[prompt], alpha=0.3)
        values = [line[prompt] for line in checks]
        iou.plot([line["step"] for line in checks], values, color=_COLOURS[prompt], marker=".", label=prompt)
        if values:
            at = (checks[-1]["step"], values[-1])
            iou.annotate(f"{values[-1]:.3f}", at, textcoords="offset points", xytext=(4, -3), color=_COLOURS[prompt])
    iou.set(title="Mean IoU: held-out scenes; pale: training", xlabel="step")
    iou.legend(loc="lower right")
    calibration.plot([line["step"] for line in checks], [line["ece"] for line in checks], color="tab:red", marker=".")
    calibration.set(title="Expected calibration error, held-out scenes", xlabel="step", ylim=(0, None))
    for axes in (loss, iou, calibration):
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(alpha=0.3)
        axes.margins(x=0.08)
    _write(figure, path)


def write_samples(samples: Sequence[tuple[Answers, int]], path: Path) -> None:
    """Draw the answers for some objects, each given by its scene and its index there, as a PNG.

    A column shows one object: the prompts, the truth (white) and the answers (red).
    """
    figure = Figure(figsize=(2.6 * len(samples), 2.75 * len(PROMPTS)), layout="constrained")
    for column, (scene, index) in enumerate(samples):
        for row, prompt in enumerate(PROMPTS):
            axes = figure.add_subplot(len(PROMPTS), len(samples), row * len(samples) + column + 1)
            axes.imshow(scene.image, extent=(0, 256, 256, 0))
            for mask, colour in ((scene.truth[index], "white"), (scene.masks[row, index], "red")):
                if mask.any() and not mask.all():
                    axes.contour(np.arange(256) + 0.5, np.arange(256) + 0.5, mask, [0.5], colors=colour, linewidths=1)
            _draw_prompt(axes, prompt, scene, index)
            iou, predicted = scene.iou[row, index], scene.predicted[row, index]
            axes.set_title(f"{prompt}: IoU {iou:.2f}, predicted {predicted:.2f}", fontsize=8)
            axes.axis("off")
    _write(figure, path)


def worst(scenes: Sequence[Answers], count: int = 2) -> list[tuple[Answers, int]]:
    """Return the `count` objects with the lowest IoU for each prompt, at most one of each scene."""
    chosen: dict[int, tuple[Answers, int]] = {}
    for row in range(len(PROMPTS)):
        lowest = [(float(scene.iou[row].min()), number) for number, scene in enumerate(scenes) if number not in chosen]
        for _, number in sorted(lowest)[:count]:
            chosen[number] = (scenes[number], int(scenes[number].iou[row].argmin()))
    return list(chosen.values())


def _draw_prompt(axes: Any, prompt: str, answers: Answers, index: int) -> None:
    if prompt == "box":
        rows, columns = np.nonzero(answers.truth[index])
        x, y = columns.min(), rows.min()
        axes.plot(
            [x, columns.max() + 1, columns.max() + 1, x, x], [y, y, rows.max() + 1, rows.max() + 1, y], "c-", lw=0.8
        )
        return
    coords, labels = answers.clicks
    shown = slice(0, 1) if prompt == "click" else slice(None)
    for (x, y), label in zip(coords[index, shown], labels[index, shown], strict=True):
        axes.plot(
            x + 0.5, y + 0.5, marker="o", color="lime" if label else "magenta", markeredgecolor="black", markersize=5
        )


def _write(figure: Figure, path: Path) -> None:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=80)
    write_whole(path, picture.getvalue(), private=False)
