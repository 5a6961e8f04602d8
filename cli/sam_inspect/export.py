"""The command `export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sam_backend.errors import BadRequestError
from sam_inspect.bars import progress_bars
from sam_inspect.options import ProjectOption, settings_of
from sam_inspect.output import print_lines

if TYPE_CHECKING:
    from sam_backend.settings import Settings
    from sam_evaluation.exports.source import Source


def export(
    context: typer.Context,
    to: Annotated[
        str,
        typer.Option(
            help="The format: coco, coco-polygons, coco-panoptic, yolo-seg, yolo-box, voc, png, labelme, datumaro."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist, or be empty.", metavar="FOLDER")],
    project: ProjectOption = None,
    data: Annotated[
        str | None,
        typer.Option(help="A data set instead, as format:folder or format:folder@split, also label_studio:file.json."),
    ] = None,
    split: Annotated[
        float, typer.Option(help="The part for training; the rest is for validation. Default: all of it.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Another seed is another split.")] = 0,
) -> None:
    """Write what annotators accepted as a data set for a training, with the images beside.

    Images of one task stay on one side of the split, and later tasks move no
    earlier one. The folder is written whole or not at all; after an interruption,
    the same command does not fetch again what was fetched. --data converts any
    data set that evaluate reads.

    Example: sam-inspect export --project 3 --to yolo-seg --split 0.8 --out ./line-3
    Example: sam-inspect export --data label_studio:export.json --to coco --out ./coco
    """
    if not 0 < split <= 1:
        raise BadRequestError(f"--split is the part for training, above 0 and at most 1; got {split:g}.")
    if (project is None) == (data is None):
        raise BadRequestError("Name what to export: either a --project, or a data set with --data.")
    from sam_backend.finetune.os_errors import os_errors_as_sentences
    from sam_evaluation.exports.registry import writer_class
    from sam_evaluation.exports.run import export as run_export
    from sam_evaluation.report.numbers import count

    writer_class(to)
    source = _source(settings_of(context), project, data)
    with progress_bars() as add_bar, os_errors_as_sentences():
        done = run_export(source, to, out, add_bar(f"Exporting {source.title}"), share=split, seed=seed)
    sides = ", ".join(f"{number} for {side}" for side, number in sorted(done.images.items()))
    classes, images = count(len(done.classes), "class", "classes"), count(sum(done.images.values()), "image")
    lines = [f"{out} holds {count(done.masks, 'mask')} of {classes} on {images}"]
    lines[0] += f": {sides}." if split < 1 else "."
    if split < 1 and len(done.images) == 1:
        lines.append("All images fell on one side, as there are few; another --seed is another split.")
    print_lines(*lines, *done.sentences())


def _source(settings: Settings, project: str | None, data: str | None) -> Source:
    if data is not None:
        from sam_evaluation.datasets.registry import DatasetSpec
        from sam_evaluation.exports.source import DatasetSource

        return DatasetSource(DatasetSpec.parse(data))
    from sam_backend.labelstudio.images import TaskImages
    from sam_backend.labelstudio.projects import find_project, open_project
    from sam_backend.labelstudio.servers import ServerRegistry
    from sam_evaluation.exports.project_source import ProjectSource

    servers = ServerRegistry.of_settings(settings)
    known = find_project(servers, str(project))
    opened = open_project(servers, str(project))
    return ProjectSource(opened, known.server, TaskImages.of_settings(settings))
