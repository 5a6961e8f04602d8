"""The accepted annotations of a project with their images, fetched into a folder."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from sam_backend.errors import ImageServerError, SamInspectError
from sam_backend.files import write_whole
from sam_backend.labelstudio.accepted_masks import AnnotatedImage, read_annotation
from sam_backend.labelstudio.client import LabelStudioClient
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.exports import Export, ExportedTask
from sam_backend.labelstudio.images import TaskImages
from sam_backend.labelstudio.servers import Server
from sam_backend.progress import ProgressCallback, no_progress

logger = logging.getLogger(__name__)

EXPORT = "export.json"

_EXPORT_TIMEOUT = 300.0
"""Seconds that a Label Studio has for an export, which it makes while the client waits."""


def fetch_accepted(
    server: Server,
    project: int,
    folder: Path,
    images: TaskImages,
    *,
    timeout: float,
    progress: ProgressCallback = no_progress,
) -> Path:
    """Fetch the accepted masks of a project into `folder`; return the export in it, in Label Studio's JSON.

    Every annotated image is a task of the export, with the masks of the newest annotation alone, and its file is named
    by the task: `images/12.png` for the first image of task 12, `images/12_1.png` for the second. A file that was
    fetched before stays. An image that cannot be fetched keeps its place in the export; whoever reads it finds the file
    missing. An image with prompts alone is left out, with a warning.

    Parameters
    ----------
    server : Server, the Label Studio.
    project : int, the project's id there.
    folder : Path, for the export and the images.
    images : TaskImages, fetches images.
    timeout : float, seconds that the Label Studio has for anything but the export.
    progress : ProgressCallback, called with the tasks done and the total.

    Raises
    ------
    ImageServerError
        If Label Studio does not answer, or refuses.
    BadRequestError
        If the project's labeling config has no control that takes masks.
    """
    client, about = LabelStudioClient(server, timeout), f"project {project}"
    xml = client.request("GET", f"/api/projects/{project}/", lambda answer: str(answer["label_config"]), about=about)
    config = LabelingConfig.parse(xml)
    what = f"The export of project {project} of {server.shown}"
    export = client.request(
        "GET",
        f"/api/projects/{project}/export",
        lambda answer: Export.of_json(answer, what, ImageServerError),
        about=about,
        query={"exportType": "JSON"},
        timeout=_EXPORT_TIMEOUT,
    )
    kept = []
    for done, task in enumerate(export.tasks):
        progress(done, len(export.tasks))
        for image, entry in _annotated(task, config):
            name = f"{task.id}_{image.index}" if image.index else str(task.id)
            try:
                file = _fetch_image(image.address, server, task.id, folder / "images", name, images)
            except SamInspectError as error:
                logger.warning("The image %s of task %d is not fetched: %s", name, task.id, error)
                file = f"{name}.png"
            kept.append({**entry, "data": {"image": file}})
    progress(len(export.tasks), len(export.tasks))
    write_whole(folder / EXPORT, json.dumps(kept).encode())
    return folder / EXPORT


def _annotated(task: ExportedTask, config: LabelingConfig) -> Iterator[tuple[AnnotatedImage, dict[str, Any]]]:
    """Yield the images of a task that can be learnt from, each with its own task of the export, without the data."""
    annotation = task.newest()
    if annotation is None:
        return
    try:
        accepted = read_annotation(annotation.result, task.data, config)
    except SamInspectError as error:
        logger.warning("Task %d is left out: %s", task.id, error)
        return
    if not accepted.images:
        logger.warning("Task %d is left out: none of its regions is on an image that takes masks.", task.id)
    for image in accepted.images:
        if image.regions.left_out:
            logger.warning("Task %d is left out: %s.", task.id, image.regions.left_out)
            continue
        # In the export the image is the only one of its task.
        result = [
            {**{name: value for name, value in entry.items() if name != "item_index"}, "to_name": "image"}
            for entry in image.regions.entries
        ]
        kept = annotation.model_dump(exclude={"result", "prediction", "parent_prediction"})
        yield image, {"id": task.id, "annotations": [{**kept, "result": result}], "predictions": [], "masks_only": True}


def _fetch_image(url: str, server: Server, task: int, folder: Path, name: str, images: TaskImages) -> str:
    """Keep an image of a task in a folder, and return the file's name."""
    for known in folder.glob(f"{name}.*"):
        if known.suffix != ".part":
            return known.name
    content = images.fetch(url, server, task)
    with Image.open(io.BytesIO(content)) as image:
        suffix = {"jpeg": "jpg"}.get(form := (image.format or "png").lower(), form)
    write_whole(folder / f"{name}.{suffix}", content)
    return f"{name}.{suffix}"
