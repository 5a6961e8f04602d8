"""The part of the command `convert` that reads box files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sam_backend.errors import BadRequestError
from sam_backend.extras import require_evaluation
from sam_backend.files import whole_file
from sam_evaluation.report.numbers import count
from sam_inspect.bars import progress_bars
from sam_inspect.options import settings_of
from sam_inspect.output import print_lines

if TYPE_CHECKING:
    from sam_evaluation.box_conversion import Converted
    from sam_inspect.contact_sheet import Cell

SHOWN = 24
"""The most images of a dry run."""


def convert_files(
    context: typer.Context,
    data: str,
    out: Path | None,
    dry_run: Path | None,
    model: str | None,
    checkpoint: Path | None,
) -> None:
    """Write the masks of box files into the folder `out`, or a picture of the first ones to `dry_run`.

    Raises
    ------
    SamInspectError
        If the data, the folder or the model cannot be used.
    """
    require_evaluation("convert --data")
    from sam_backend.core.model_loading import load_model
    from sam_backend.finetune.os_errors import os_errors_as_sentences
    from sam_evaluation.box_conversion import BoxFiles
    from sam_evaluation.datasets.registry import DatasetSpec
    from sam_inspect.contact_sheet import Cell

    if (out is None) == (dry_run is None):
        raise BadRequestError(
            "With --data, name either the folder for the masks with --out, or a picture with --dry-run."
        )
    settings = settings_of(context)
    boxes = BoxFiles(DatasetSpec.parse(data), load_model(settings, model or settings.model, checkpoint))
    with progress_bars() as add_bar, os_errors_as_sentences():
        progress = add_bar("Converting boxes")
        if out is not None:
            lines = _sentences(boxes.convert(out, progress), out)
        else:
            broken: list[str] = []
            cells = (
                Cell(one.name, one.image, one.size, [drawn.box for drawn in one.boxes], [mask for mask, _ in answers])
                for one, answers in boxes.preview(SHOWN, progress, broken)
            )
            lines = write_sheet(Path(str(dry_run)), cells) or ["No image has a box."]
            lines += unusable(broken)
    print_lines(*lines)


def write_sheet(path: Path, cells: Iterable[Cell]) -> list[str]:
    """Write the picture of a dry run, and return the sentence about it; nothing without a cell."""
    from sam_inspect.contact_sheet import contact_sheet

    shown = list(cells)
    if not shown:
        return []
    with whole_file(path, private=False) as file:
        contact_sheet(shown).save(file, "PNG")
    masks = sum(len(cell.masks) for cell in shown)
    return [f"{path} shows {count(masks, 'mask')} on {count(len(shown), 'image')}; nothing else was written."]


def _sentences(done: Converted, out: Path) -> list[str]:
    from sam_evaluation.left_out import reasons

    lines = [f"{out} holds {count(done.masks, 'mask')} of boxes on {count(done.images, 'image')}."]
    if done.kept:
        lines.append(f"{done.kept} annotations had a mask and keep it.")
    broken = [f"{row['sample']}: {row['reason']}" for row in done.broken.to_dict("records")]
    return [*lines, *unusable(broken), *map(str, reasons(done.left_out))]


def unusable(broken: Sequence[str]) -> list[str]:
    """Return the lines about images that could not be used, a sentence each."""
    head = f"{count(len(broken), 'image')} could not be used:"
    return [head, *(f"  {sentence}" for sentence in broken)] if broken else []
