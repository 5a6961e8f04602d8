"""The command `convert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sam_backend.errors import BadRequestError
from sam_evaluation.report.numbers import count
from sam_inspect.convert_files import SHOWN, convert_files, write_sheet
from sam_inspect.memory_commands import CheckpointOption, opened_project
from sam_inspect.options import ModelOption, given_options
from sam_inspect.output import print_lines

if TYPE_CHECKING:
    from sam_backend.core.box_conversion import BoxConversion, ConversionCounts
    from sam_inspect.bars import AddBar

_WITH_PROJECT = {"source": "--from", "target": "--to", "annotate": "--annotate", "again": "--again"}
_WITH_DATA = {"out": "--out"}


def convert(
    context: typer.Context,
    project: Annotated[str | None, typer.Option(help="Id of the project in Label Studio.")] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Box files instead, as coco:folder, coco:file.json, yolo:folder or yolo:folder@split."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="With --data, the new folder for the masks; an interrupted run goes on there.")
    ] = None,
    source: Annotated[
        str, typer.Option("--from", help="The tag of the boxes: RectangleLabels, EllipseLabels or PolygonLabels.")
    ] = "RectangleLabels",
    target: Annotated[
        str, typer.Option("--to", help="The tag of the masks: BrushLabels, BitmaskLabels, PolygonLabels, …")
    ] = "BrushLabels",
    annotate: Annotated[
        bool, typer.Option("--annotate", help="Write new annotations instead of predictions; they are yours.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Also convert tasks that an earlier run converted.")] = False,
    dry_run: Annotated[
        Path | None,
        typer.Option(help=f"Write nothing but a picture of the first {SHOWN} images with boxes.", metavar="PNG"),
    ] = None,
    model: ModelOption = None,
    checkpoint: CheckpointOption = None,
) -> None:
    """Make boxes into masks: every box becomes a mask with its label and a score.

    The boxes are those of a project in Label Studio, or of files in the format
    of COCO or YOLO, whose masks become a data set of their own.

    Of a task of a project, the newest annotation counts, and without any the
    newest prediction. The labeling config needs both tags. An interrupted run goes
    on when it is repeated.

    Example: sam-inspect convert --project 3 --dry-run boxes.png
    Example: sam-inspect convert --project 3 --from RectangleLabels --to BrushLabels
    Example: sam-inspect convert --data yolo:./boxes@train --out ./masks
    """
    if dry_run and dry_run.suffix.lower() != ".png":
        raise BadRequestError(f"--dry-run takes the name of a picture that ends in .png; got {dry_run}.")
    if (project is None) == (data is None):
        raise BadRequestError("Name the boxes: either a --project, or files with --data.")
    other, foreign = ("--project", _WITH_DATA) if data is None else ("--data", _WITH_PROJECT)
    if beside := [foreign[name] for name in given_options(context) if name in foreign]:
        raise BadRequestError(f"{beside[0]} does not go with {other}; leave it out.")
    if data is not None:
        convert_files(context, data, out, dry_run, model, checkpoint)
        return
    from sam_backend.core.box_conversion import BoxConversion, ConversionCounts

    with opened_project(context, str(project), model, checkpoint) as (work, add_bar):
        conversion = BoxConversion(work, source, target)
        if dry_run:
            counts = ConversionCounts()
            lines = _preview(conversion, dry_run, counts, add_bar)
        else:
            counts = conversion.run(add_bar("Converting boxes"), annotate=annotate, again=again)
            what = "annotation" if annotate else "prediction"
            earlier = f" {counts.earlier} had one from an earlier run." if counts.earlier else ""
            lines = [
                f"{count(counts.tasks, 'task has', 'tasks have')} a new {what}, with "
                f"{count(counts.masks, 'mask')} in all.{earlier}"
            ]
    print_lines(*lines, *counts.problems)


def _preview(conversion: BoxConversion, path: Path, counts: ConversionCounts, add_bar: AddBar) -> list[str]:
    from sam_inspect.contact_sheet import Cell

    progress = add_bar("Converting boxes")
    cells = (
        Cell(f"task {one.task}", conversion.pixels(one), one.size, one.boxes, [mask.mask for mask in one.found])
        for one in conversion.preview(SHOWN, counts, progress)
    )
    return write_sheet(path, cells) or ["No task has such boxes."]
