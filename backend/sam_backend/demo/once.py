"""The demo without a browser: a click, a correcting click and a box through Label Studio, with checked answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from rich.table import Table

from sam_backend.demo.api import DemoTask, LabelStudioApi
from sam_backend.demo.demo_error import DemoError
from sam_backend.demo.demo_images import DemoImage
from sam_backend.demo.prompting import MeasuredAnswer, Prompter, correction
from sam_backend.masks import deepest_point, mask_iou

# Least IoU of an answer with a defect of the built-in images; a working model reaches far more.
LEAST_IOU = 0.4
_MARGIN = 3  # pixels between a defect and a box drawn by hand


@dataclass(frozen=True, eq=False)
class PromptRow:
    """One prompt, its answer and the IoU of the answer; None if the true mask is unknown."""

    image: str
    prompt: str
    answer: MeasuredAnswer
    iou: float | None


def prompt_once(
    api: LabelStudioApi, backend: int, task: DemoTask, *, image: DemoImage | None, file: Path
) -> list[PromptRow]:
    """Send three prompts on one task and check the regions that come back.

    Parameters
    ----------
    api : LabelStudioApi, sends the prompts.
    backend : int, the id of the connected backend.
    task : DemoTask, the task to prompt.
    image : DemoImage, the built-in image with its defect; None for a user's image, whose defects are unknown.
    file : Path, the image file.

    Raises
    ------
    DemoError
        If an answer is not a mask, is empty, or misses a known defect.
    """
    if image is not None:
        rows = _prompt_defect(Prompter(api, backend, task, image.size, image.label), image)
    else:
        with Image.open(file) as opened:
            width, height = ImageOps.exif_transpose(opened).size
        rows = _prompt_unknown(Prompter(api, backend, task, (height, width), "Defect"))
    for row in rows:
        if row.iou is not None and row.iou < LEAST_IOU:
            raise DemoError(
                f"The {row.prompt} on {row.image} should find the defect with an IoU of {LEAST_IOU} or more; "
                f"got {row.iou:.2f}."
            )
    return rows


def _prompt_defect(prompter: Prompter, image: DemoImage) -> list[PromptRow]:
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
    return [
        PromptRow(image.name, prompt, answer, mask_iou(answer.mask, image.mask)) for prompt, answer in answers.items()
    ]


def _prompt_unknown(prompter: Prompter) -> list[PromptRow]:
    height, width = prompter.size
    middle, corner = ((width / 2, height / 2), True), ((0.02 * width, 0.02 * height), False)
    answers = {
        "first click": prompter.click(middle),
        "next click": prompter.click(middle, corner),
        "box": prompter.box(width / 4, height / 4, 3 * width / 4, 3 * height / 4),
    }
    return [PromptRow(prompter.task.name, prompt, answer, None) for prompt, answer in answers.items()]


def as_table(rows: Sequence[PromptRow], *, model: str) -> Table:
    """Return the rows as a table for the terminal."""
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
