"""The command `everything`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sam_backend.errors import BadRequestError
from sam_evaluation.report.numbers import count
from sam_inspect.bars import AddBar, progress_bars
from sam_inspect.convert_files import SHOWN, unusable, write_sheet
from sam_inspect.memory_commands import CheckpointOption, opened_project
from sam_inspect.options import ANY_FOLDER, ClusterOption, ModelOption, given_options, settings_of
from sam_inspect.output import print_lines

if TYPE_CHECKING:
    from sam_backend.everything.search import Search
    from sam_backend.segmenters.automatic import AutomaticSettings
    from sam_inspect.contact_sheet import Cell


class Like(StrEnum):
    """What is kept of everything."""

    DEFECTS = "defects"


_COMMON = ("images", "out", "project", "model", "checkpoint", "cluster")


def everything(
    context: typer.Context,
    images: Annotated[Path, typer.Option(help="A folder of image files, with its subfolders.", **ANY_FOLDER)],
    out: Annotated[
        Path, typer.Option(help="The new folder for the results; an interrupted run goes on there.", **ANY_FOLDER)
    ],
    like: Annotated[
        Like | None, typer.Option(help="Keep what is small, different from its surroundings and stable.")
    ] = None,
    project: Annotated[
        str | None, typer.Option(help="Id of a project in Label Studio, whose examples say what is sought.")
    ] = None,
    model: ModelOption = None,
    checkpoint: CheckpointOption = None,
    points_per_side: Annotated[int, typer.Option(help="Clicks along each side of the grid.")] = 16,
    points_per_batch: Annotated[int, typer.Option(help="Clicks that are decoded at once.")] = 64,
    pred_iou_thresh: Annotated[
        float, typer.Option(help="The least predicted IoU of a mask; 0 keeps every mask.")
    ] = 0.5,
    stability_score_thresh: Annotated[float, typer.Option(help="The least stability of a mask.")] = 0.4,
    stability_score_offset: Annotated[float, typer.Option(help="Logits by which stability moves the threshold.")] = 1.0,
    box_nms_thresh: Annotated[
        float, typer.Option(help="Of two masks whose boxes have a larger IoU, the surer one stays.")
    ] = 1.0,
    mask_nms_thresh: Annotated[float, typer.Option(help="The same for the IoU of the masks themselves.")] = 0.7,
    min_mask_region_area: Annotated[
        int, typer.Option(help="Pixels; smaller holes are filled, smaller pieces removed.")
    ] = 0,
    max_area_fraction: Annotated[
        float, typer.Option(help="The largest share of the image that a mask may cover.")
    ] = 0.9,
    min_contrast: Annotated[
        float, typer.Option(help="The least contrast of a mask with its surroundings; 0 keeps every mask.")
    ] = 0.0,
    cluster: ClusterOption = None,
) -> None:
    """Segment everything on the images of a folder, without a prompt.

    Of each image it writes original and result side by side, and the ids and
    classes of its instances as indexed PNGs; of all images contact sheets, a
    JSON file of COCO with run-lengths, and a table. With --project, the
    project's examples propose masks and classes, as in preannotate.

    --like defects sets --stability-score-thresh, --max-area-fraction and
    --min-contrast, where they are not given. An interrupted run goes on when
    it is repeated. Both folders may lie on a store, such as s3://bucket/line.
    With --cluster many machines search, with the same results.

    Example: sam-inspect everything --images photos --out runs/photos
    Example: sam-inspect everything --images photos --out runs/defects
             --like defects
    Example: sam-inspect everything --images photos --out runs/line
             --project 3
    Example: sam-inspect everything --images photos --out runs/photos
             --cluster ray://head:10001
    """
    from sam_backend.cluster.connection import open_workers
    from sam_backend.everything.folder_run import PICTURES, FolderRun
    from sam_backend.segmenters.model_registry import model_info

    automatic = _automatic(context, like, project)
    run = FolderRun(images, out)
    settings = settings_of(context)
    name = model or settings.model
    with (
        open_workers(cluster, [model_info(name)], settings) as workers,
        _opened(context, project, automatic, name, checkpoint) as (search, add_bar),
    ):
        done = run.run(search, add_bar("Segmenting"), workers)
        pngs = [(part.name, out / PICTURES / part.png) for part in done.parts]
        sheets = range(0, len(pngs), SHOWN)
        progress = add_bar("Contact sheets")
        for number, start in enumerate(sheets, 1):
            progress(number - 1, len(sheets))
            write_sheet(out / f"sheet-{number}.png", (_cell(*png) for png in pngs[start : start + SHOWN]))
        for old in out.glob("sheet-*.png"):
            if old.stem.partition("-")[2] not in map(str, range(1, len(sheets) + 1)):
                old.unlink()
        progress(len(sheets), len(sheets))
    print_lines(f"{out} holds {count(done.count, 'mask')} on {count(len(done.parts), 'image')}.")
    print_lines(*unusable([f"{name}: {reason}" for name, reason in done.broken]))


def _automatic(context: typer.Context, like: Like | None, project: str | None) -> AutomaticSettings:
    """Return the settings of the automatic mode: what the user gave, else what `--like` sets, else the defaults."""
    from sam_backend.segmenters.automatic import DEFAULT_AUTOMATIC, DEFECTS

    given = [name for name in given_options(context) if name not in _COMMON]
    if project is not None and given:
        option = given[0].replace("_", "-")
        raise BadRequestError(f"--{option} does not go with --project, whose examples say what to seek; leave it out.")
    base = DEFECTS if like is Like.DEFECTS else DEFAULT_AUTOMATIC
    return replace(base, **{name: context.params[name] for name in given if name != "like"})


@contextmanager
def _opened(
    context: typer.Context,
    project: str | None,
    automatic: AutomaticSettings,
    name: str,
    checkpoint: Path | None,
) -> Iterator[tuple[Search, AddBar]]:
    from sam_backend.core.model_loading import WorkerModel, load_model
    from sam_backend.core.task_embeddings import TaskEmbeddings
    from sam_backend.everything.search import ProjectSearch, Search
    from sam_backend.segmenters.model_registry import model_info, require_prompts

    settings = settings_of(context)
    embeddings = TaskEmbeddings.in_memory(settings)
    if project is not None:
        with opened_project(context, project, name, checkpoint) as (work, add_bar):
            work.learn(add_bar("Encoding examples"))
            loaded = WorkerModel.of(settings, name, checkpoint, work.segmenter)
            yield Search(work.segmenter, embeddings, project=ProjectSearch.of(work), model=loaded), add_bar
        return
    require_prompts(model_info(name), {"everything"})
    segmenter = load_model(settings, name, checkpoint)
    with progress_bars() as add_bar:
        loaded = WorkerModel.of(settings, name, checkpoint, segmenter)
        yield Search(segmenter, embeddings, automatic, model=loaded), add_bar


def _cell(name: str, png: Path) -> Cell:
    import numpy as np
    from PIL import Image

    from sam_backend.everything.pictures import result_of
    from sam_inspect.contact_sheet import Cell

    with png.open("rb") as file:
        shown = result_of(np.asarray(Image.open(file).convert("RGB")))
    return Cell(name, shown, (shown.shape[0], shown.shape[1]), [], [])
