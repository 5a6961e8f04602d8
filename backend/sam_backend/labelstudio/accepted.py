"""The accepted annotations of a project with their images, fetched into a folder."""

from __future__ import annotations

import io
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from sam_backend.errors import BadRequestError, ImageServerError, SamInspectError
from sam_backend.files import write_whole
from sam_backend.labelstudio.accepted_masks import AnnotatedImage, read_annotation
from sam_backend.labelstudio.addresses import shown
from sam_backend.labelstudio.client import LabelStudioClient, RefusedTokenError
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.exports import Export, ExportedTask
from sam_backend.labelstudio.images import ImageNotFetchedError, TaskImages
from sam_backend.labelstudio.servers import Server
from sam_backend.labelstudio.transport import Transport
from sam_backend.progress import ProgressCallback, no_progress

logger = logging.getLogger(__name__)

EXPORT = "export.json"

_GIVE_UP = 20
"""Images that fail for one cause of their server, before any is fetched, until the rest is not tried."""

_MOST_CAUSES = 10
"""Causes that are reported."""

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
    missing, and one warning for each cause counts them. An image with prompts alone is left out, with a warning.

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
        If Label Studio does not answer, or refuses, or if no image can be fetched.
    BadRequestError
        If the project's labeling config has no control that takes masks.
    """
    config, export = fetch_export(server, project, images.transport, timeout=timeout)
    for problem in export.unreadable:
        logger.warning("%s It is left out.", problem)
    kept = []
    failures = FetchFailures(project)
    for done, task in enumerate(export.tasks):
        progress(done, len(export.tasks))
        for image, entry in _annotated(task, config):
            name = f"{task.id}_{image.index}" if image.index else str(task.id)
            try:
                file = fetch_image(image.address, server, task.id, folder / "images", name, images)
                failures.fetched += 1
            except RefusedTokenError:
                # It is refused for every image.
                raise
            except SamInspectError as error:
                failures.add(error)
                file = f"{name}.png"
            kept.append({**entry, "data": {"image": file}})
    progress(len(export.tasks), len(export.tasks))
    failures.report()
    write_whole(folder / EXPORT, json.dumps(kept).encode())
    return folder / EXPORT


def fetch_export(
    server: Server, project: int, transport: Transport, *, timeout: float
) -> tuple[LabelingConfig, Export]:
    """Fetch the labeling config and the annotated tasks of a project; parameters and errors as of `fetch_accepted`."""
    client, about = LabelStudioClient(server, timeout, transport), f"project {project}"
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
    return config, export


class FetchFailures:
    """The images that were not fetched: counted by their cause, and said once for each cause."""

    def __init__(self, project: int) -> None:
        self._project = project
        self._counts: Counter[str] = Counter()
        self._first: dict[str, SamInspectError] = {}
        self.fetched = 0

    def add(self, error: SamInspectError) -> None:
        """Count an image; raises ImageServerError if there is no use in trying further ones."""
        cause = error.reason if isinstance(error, ImageNotFetchedError) else str(error)
        self._counts[cause] += 1
        self._first.setdefault(cause, error)
        is_of_server = isinstance(error, ImageNotFetchedError) and error.answered in (0, 401, 403)
        if is_of_server and not self.fetched and self._counts == {cause: _GIVE_UP}:
            raise ImageServerError(
                f"0 of the first {_GIVE_UP} annotated images of project {self._project} were fetched, all for one "
                f"cause. {error}"
            )

    def report(self) -> None:
        """Log the causes; raises ImageServerError if no image was fetched."""
        total = self._counts.total()
        lines = [
            f"{'once' if count == 1 else f'{count} times'}: {self._first[cause]}"
            for cause, count in self._counts.most_common(_MOST_CAUSES)
        ]
        if total and not self.fetched:
            raise ImageServerError(
                f"0 of {total} annotated images of project {self._project} were fetched; {' '.join(lines)}"
            )
        if total:
            every = total + self.fetched
            logger.warning("%d of %d annotated images are not fetched and not used.", total, every)
        for line in lines:
            logger.warning("Not fetched %s", line)


def accepted_images(
    task: ExportedTask, config: LabelingConfig, leave_out: Callable[[str], None]
) -> Iterator[AnnotatedImage]:
    """Yield the images of a task that the newest annotation says something exact about, or that nothing is on.

    Parameters
    ----------
    task : ExportedTask.
    config : LabelingConfig of the project.
    leave_out : called with a sentence, without a full stop, about what of the task is left out.
    """
    annotation = task.newest()
    if annotation is None:
        return
    try:
        accepted = read_annotation(annotation.result, task.data, config)
    except SamInspectError as error:
        leave_out(str(error).rstrip("."))
        return
    if not accepted.images:
        leave_out("none of its regions is on an image that takes masks")
    for image in accepted.images:
        if image.regions.left_out:
            leave_out(image.regions.left_out)
        else:
            yield image


def _annotated(task: ExportedTask, config: LabelingConfig) -> Iterator[tuple[AnnotatedImage, dict[str, Any]]]:
    """Yield the images of a task that can be learnt from, each with its own task of the export, without the data."""

    def leave_out(reason: str) -> None:
        logger.warning("Task %d is left out: %s.", task.id, reason)

    for image in accepted_images(task, config, leave_out):
        # In the export the image is the only one of its task.
        result = [
            {**{name: value for name, value in entry.items() if name != "item_index"}, "to_name": "image"}
            for entry in image.regions.entries
        ]
        annotation = task.newest()
        assert annotation is not None
        kept = annotation.model_dump(exclude={"result", "prediction", "parent_prediction"})
        yield image, {"id": task.id, "annotations": [{**kept, "result": result}], "predictions": [], "masks_only": True}


def fetch_image(url: str, server: Server, task: int, folder: Path, name: str, images: TaskImages) -> str:
    """Keep an image of a task in a folder, and return the file's name: `name` with the suffix of its kind.

    A file of the name that is there already stays. Raises the errors of `TaskImages.fetch`.
    """
    for known in folder.glob(f"{name}.*"):
        if known.suffix != ".part":
            return known.name
    content = images.fetch(url, server, task)
    try:
        with Image.open(io.BytesIO(content)) as image:
            suffix = {"jpeg": "jpg"}.get(form := (image.format or "png").lower(), form)
    except (OSError, ValueError, SyntaxError):
        raise BadRequestError(f"The image {shown(url)} is not an image that can be read.") from None
    write_whole(folder / f"{name}.{suffix}", content)
    return f"{name}.{suffix}"
