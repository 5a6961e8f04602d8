"""The command `warm`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sam_backend.errors import BadRequestError
from sam_inspect.bars import progress_bars
from sam_inspect.options import ANY_FOLDER, ClusterOption, FocusOption, ModelOption, settings_of
from sam_inspect.output import print_lines

if TYPE_CHECKING:
    from sam_backend.core.warm_counts import WarmCounts
    from sam_backend.settings import Settings

_NICE = 10
"""Niceness of a warm-up, so that a service on the same machine has priority."""

_MEBIBYTE = 2**20


def warm(
    context: typer.Context,
    project: Annotated[
        str | None, typer.Option(help="Id of the project in Label Studio whose images are encoded.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="A folder of image files, with its subfolders, in place of a project.", **ANY_FOLDER),
    ] = None,
    model: ModelOption = None,
    checkpoint: Annotated[Path | None, typer.Option(help="The weights of the model, as in serve.")] = None,
    focus: FocusOption = None,
    cluster: ClusterOption = None,
) -> None:
    """Encode all images ahead, so that the first click on each is as quick as the next ones.

    Give the model and the focus that serve has. The embeddings go into the
    cache that serve reads; a running server finds them at once. It runs at
    low priority. What is in the cache already is left alone, so the same
    command goes on after an interruption. The folder may lie on a store, such
    as s3://bucket/line.

    With --cluster many machines encode; this one reads the images, and keeps
    the embeddings.

    Example: sam-inspect warm --project 3
    Example: sam-inspect warm --images photos
    Example: sam-inspect warm --project 3 --cluster ray://head:10001
    """
    if (project is None) == (images is None):
        raise BadRequestError("Give either --project or --images, to say what is encoded.")
    from sam_backend.segmenters.image_folder import images_in

    files = None if images is None else images_in(images)
    from sam_backend.cluster.connection import open_workers
    from sam_backend.core.warm_counts import WarmCounts
    from sam_backend.core.warming import Warming
    from sam_backend.segmenters.model_registry import model_info

    if hasattr(os, "nice"):
        os.nice(_NICE)
    settings = settings_of(context)
    if focus:
        settings = settings.model_copy(update={"focus": focus})
    counts, name = WarmCounts(), model or settings.model
    try:
        with (
            open_workers(cluster, [model_info(name)], settings) as workers,
            Warming.open(settings, name, checkpoint) as warming,
            progress_bars() as add_bar,
        ):
            if files is not None:
                warming.warm_files(files, counts, add_bar("Encoding images"), workers)
            elif project is not None:
                warming.warm_project(project, counts, add_bar("Reading tasks"), add_bar("Encoding images"), workers)
    finally:
        if counts.images:
            print_lines(*_summary(counts, settings))


def _summary(counts: WarmCounts, settings: Settings) -> list[str]:
    failed = f"; {counts.failed:,} cannot be used" if counts.failed else ""
    lines = [f"{counts.ready:,} of {counts.images:,} images are ready, {counts.encoded:,} of them encoded now{failed}."]
    if counts.ready + counts.failed < counts.images:
        needed = counts.images * counts.mean_bytes / _MEBIBYTE
        if needed > settings.embedding_disk_mb:
            lines.append(
                f"All of them take about {needed:,.0f} MB, and the cache keeps {settings.embedding_disk_mb:,} MB: set "
                "SAM_INSPECT_EMBEDDING_DISK_MB for this command and for serve, then run it again."
            )
        else:
            lines.append("The same command goes on with the others.")
    return lines
