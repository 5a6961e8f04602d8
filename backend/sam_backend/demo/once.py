"""The demo without a browser: a click, a correcting click and a box through Label Studio, checked and tabulated."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from rich.table import Table

from sam_backend.demo.api import LabelStudioApi, Task
from sam_backend.demo.errors import DemoError
from sam_backend.demo.images import DemoImage
from sam_backend.demo.prompting import Measured, Prompter, correction
from sam_backend.masks import deepest_point, mask_iou

# What an answer's overlap with a defect must reach on the product's own images; far below what a sound model does.
LEAST_IOU = 0.4
_MARGIN = 3  # pixels that a hand-drawn box leaves around a defect


@dataclass(frozen=True, eq=False)
class Row:
    """One prompt and its answer."""

    image: str
    prompt: str
    answer: Measured
    iou: float | None


def prompt_once(api: LabelStudioApi, backend: int, task: Task, *, image: DemoImage | None, file: Path) -> list[Row]:
    """Send three prompts on one task and check the regions that come back.

    Parameters
    ----------
    image : the product's own image with its defect, or None for a user's, on which nothing is known.
    file : the image.

    Raises
    ------
    DemoError
        If an answer is no mask, an empty one, or misses a known defect.
    """
    if image is not None:
        rows = _on_own(Prompter(api, backend, task, image.size, image.label), image)
    else:
        with Image.open(file) as opened:
            width, height = ImageOps.exif_transpose(opened).size
        rows = _on_unknown(Prompter(api, backend, task, (height, width), "Defect"))
    for row in rows:
        if row.iou is not None and row.iou < LEAST_IOU:
            raise DemoError(
                f"The {row.prompt} on {row.image} should find the defect with an IoU of {LEAST_IOU} or more; "
                f"got {row.iou:.2f}."
            )
    return rows


def _on_own(prompter: Prompter, image: DemoImage) -> list[Row]:
    inside = deepest_point(image.mask), True
    first = prompter.click(inside)
    second = prompter.click(inside, correction(first.mask, image.mask))
    rows, columns = np.nonzero(image.mask)
    box = prompter.box(
        float(max(columns.min() - _MARGIN, 0)),
        float(max(rows.min() - _MARGIN, 0)),
        float(min(columns.max() + 1 + _MARGIN, prompter.size[1])),
        float(min(rows.max() + 1 + _MARGIN, prompter.size[0])),
    )
    answers = {"first click": first, "next click": second, "box": box}
    return [Row(image.name, prompt, answer, mask_iou(answer.mask, image.mask)) for prompt, answer in answers.items()]


def _on_unknown(prompter: Prompter) -> list[Row]:
    height, width = prompter.size
    middle, corner = ((width / 2, height / 2), True), ((0.02 * width, 0.02 * height), False)
    answers = {
        "first click": prompter.click(middle),
        "next click": prompter.click(middle, corner),
        "box": prompter.box(width / 4, height / 4, 3 * width / 4, 3 * height / 4),
    }
    return [Row(prompter.task.name, prompt, answer, None) for prompt, answer in answers.items()]


def as_table(rows: Sequence[Row], *, model: str) -> Table:
    """Lay the rows out for the terminal."""
    table = Table(title=f"Prompts through Label Studio, model {model}", title_justify="left")
    for name in ("image", "prompt"):
        table.add_column(name, no_wrap=True)
    for name in ("area, px", "predicted IoU", "true IoU", "ms"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row.image,
            row.prompt,
            f"{int(row.answer.mask.sum()):,}",
            f"{row.answer.predicted_iou:.2f}",
            "unknown" if row.iou is None else f"{row.iou:.2f}",
            f"{row.answer.milliseconds:.0f}",
        )
    return table
