"""The command `convert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sam_backend.errors import BadRequestError
from sam_inspect.memory_commands import CheckpointOption, opened_project
from sam_inspect.options import ModelOption
from sam_inspect.output import print_lines

if TYPE_CHECKING:
    from sam_backend.core.box_conversion import BoxConversion, ConversionCounts
    from sam_inspect.bars import AddBar

_SHOWN = 24


def convert(
    context: typer.Context,
    project: Annotated[str, typer.Option(help="Id of the project in Label Studio.")],
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
        typer.Option(help=f"Write nothing but a picture of the first {_SHOWN} images with boxes.", metavar="PNG"),
    ] = None,
    model: ModelOption = None,
    checkpoint: CheckpointOption = None,
) -> None:
    """Make the boxes of a project into masks: every box becomes a mask with its label and a score.

    Of a task, the newest annotation counts, and without any the newest
    prediction. The labeling config needs both tags. An interrupted run goes
    on when it is repeated.

    Example: sam-inspect convert --project 3 --dry-run boxes.png
    Example: sam-inspect convert --project 3 --from RectangleLabels --to BrushLabels
    """
    if dry_run and dry_run.suffix.lower() != ".png":
        raise BadRequestError(f"--dry-run takes the name of a picture that ends in .png; got {dry_run}.")
    from sam_backend.core.box_conversion import BoxConversion, ConversionCounts

    with opened_project(context, project, model, checkpoint) as (work, add_bar):
        conversion = BoxConversion(work, source, target)
        if dry_run:
            counts = ConversionCounts()
            lines = _preview(conversion, dry_run, counts, add_bar)
        else:
            counts = conversion.run(add_bar("Converting boxes"), annotate=annotate, again=again)
            what = "annotation" if annotate else "prediction"
            earlier = f" {counts.earlier} had one from an earlier run." if counts.earlier else ""
            lines = [f"{counts.tasks} tasks have a new {what}, with {counts.masks} masks in all.{earlier}"]
    print_lines(*lines, *counts.problems)


def _preview(conversion: BoxConversion, path: Path, counts: ConversionCounts, add_bar: AddBar) -> list[str]:
    from sam_inspect.contact_sheet import Cell, contact_sheet

    progress = add_bar("Converting boxes")
    shown = list(conversion.preview(_SHOWN, counts, progress))
    if not shown:
        return ["No task has such boxes."]
    sheet = contact_sheet(
        Cell(f"task {one.task}", conversion.pixels(one), one.size, one.boxes, [mask.mask for mask in one.found])
        for one in shown
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    masks = sum(len(one.found) for one in shown)
    return [f"{path} shows {masks} masks on {len(shown)} images; nothing was written into Label Studio."]
