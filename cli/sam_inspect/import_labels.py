"""The command `import`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from sam_evaluation.report.numbers import count
from sam_inspect.bars import progress_bars
from sam_inspect.options import settings_of
from sam_inspect.output import print_lines


class Kind(StrEnum):
    """What labels become in Label Studio."""

    PREDICTIONS = "predictions"
    ANNOTATIONS = "annotations"


def import_labels(
    context: typer.Context,
    data: Annotated[str, typer.Option(help="The labels, as format:folder or format:folder@split, as in evaluate.")],
    project: Annotated[str, typer.Option(help="Id of the project in Label Studio.")],
    kind: Annotated[Kind, typer.Option("--as", help="What the labels become.")] = Kind.PREDICTIONS,
    tag: Annotated[
        str | None,
        typer.Option(help="The tag of the labeling config that takes the masks. Default: the most exact one."),
    ] = None,
    upload: Annotated[bool, typer.Option("--upload", help="Make a task of each image that no task shows.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also write to tasks that have these labels, or an annotation.")
    ] = False,
) -> None:
    """Bring the labels of a data set into a project, as predictions or annotations.

    A task is found by the file name of its image, without the suffix and what
    Label Studio puts before an upload. A task that has these predictions already,
    or any annotation, stays as it is; an interrupted run goes on when repeated.

    Example: sam-inspect import --data coco:./parts --project 3 --upload
    Example: sam-inspect import --data yolo:./line-2@train --project 3 --as annotations
    """
    from sam_backend.finetune.os_errors import os_errors_as_sentences
    from sam_backend.labelstudio.projects import open_project
    from sam_backend.labelstudio.servers import ServerRegistry
    from sam_evaluation.datasets.registry import DatasetSpec
    from sam_evaluation.label_import import ImportCounts, LabelImport

    settings = settings_of(context)
    spec = DatasetSpec.parse(data)
    opened = open_project(ServerRegistry.of_settings(settings), project)
    labels, counts = LabelImport(opened, spec, tag=tag, tolerance=settings.polygon_tolerance), ImportCounts()
    with progress_bars() as add_bar, os_errors_as_sentences():
        without = labels.check(add_bar("Checking the labels"), upload=upload)
        if upload:
            labels.upload(without, counts, add_bar("Uploading images"))
        labels.run(counts, add_bar("Importing labels"), annotate=kind is Kind.ANNOTATIONS, again=again)
    lines = [
        f"{count(counts.tasks, 'task has', 'tasks have')} new {kind}, with {count(counts.masks, 'mask')} in "
        f"{count(counts.regions, 'region')}."
    ]
    if counts.uploaded:
        lines.append(f"{counts.uploaded} of these tasks are new.")
    if counts.earlier:
        had = "an annotation" if kind is Kind.ANNOTATIONS else "these predictions"
        stays = "stays as it is" if counts.earlier == 1 else "stay as they are"
        lines.append(f"{count(counts.earlier, 'task')} had {had} already and {stays}.")
    if without and not upload:
        lines.append(
            f"{count(len(without), 'image is', 'images are')} in no task (first: {without[0]}); "
            "--upload makes tasks of them."
        )
    print_lines(*lines, *counts.tally.sentences())
