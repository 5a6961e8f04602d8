"""The demo's project in Label Studio: config, images, pre-annotations; what exists already is reused."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from sam_backend.demo.api import DemoTask, LabelStudioApi
from sam_backend.demo.demo_error import DemoError
from sam_backend.demo.demo_images import LABELS, write_data_set
from sam_backend.labelstudio.config_writer import write_config
from sam_backend.progress import ProgressCallback

BACKEND_TITLE = "SAM Inspect"
# Label Studio waits 100 s for a backend to answer all tasks of one request.
_PREDICTION_BATCH = 2
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}  # those that Label Studio accepts and a browser shows


@dataclass(frozen=True)
class Source:
    """Images to annotate, and the labels of their project."""

    title: str
    description: str
    labels: tuple[str, ...]
    files: tuple[Path, ...]


def user_images(folder: Path) -> Source:
    """Return the images in `folder`, without subfolders, in the order of their names.

    Raises
    ------
    DemoError
        If the folder does not exist, or has no image that a browser can show.
    """
    if not folder.is_dir():
        raise DemoError(f"{folder} should be a folder with images; there is no such folder.")
    files = tuple(sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES and file.is_file()))
    if not files:
        raise DemoError(f"{folder} holds no image; expected files that end in {', '.join(sorted(_SUFFIXES))}.")
    for file in files:
        if not cv2.haveImageReader(str(file)):
            raise DemoError(f"{file} is not an image, or a damaged one; repair it or take it out of the folder.")
    resolved = folder.resolve()
    return Source(f"SAM Inspect: {resolved.name}", f"Images of {resolved}", ("Defect", "Part"), files)


def built_in_images(home: Path) -> Source:
    """Return the built-in images; they and their masks are written into `home` the first time."""
    files = write_data_set(home)
    return Source("SAM Inspect", "Images that SAM Inspect makes itself", LABELS, tuple(files))


def open_project(api: LabelStudioApi, source: Source) -> int:
    """Return the id of the project for these images; it is created the first time."""
    known = api.projects().get(source.description)
    return known or api.create_project(source.title, source.description, write_config(source.labels))


def import_images(api: LabelStudioApi, project: int, source: Source, progress: ProgressCallback) -> list[DemoTask]:
    """Upload the images that the project does not have yet; return the tasks of all, in the source's order."""
    digests = {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in source.files}
    known = {task.sha256 for task in api.tasks(project)}
    missing = {digest: file for file, digest in digests.items() if digest not in known}
    for done, (digest, file) in enumerate(missing.items()):
        progress(done, len(missing), "Importing images")
        # One task at a time, so that an interrupted import can be continued.
        api.create_tasks(project, [{"image": api.upload(project, file), "name": file.name, "sha256": digest}])
    tasks = {task.sha256: task for task in api.tasks(project)}
    return [tasks[digest] for digest in dict.fromkeys(digests.values())]


def pre_annotate(
    api: LabelStudioApi, project: int, tasks: Sequence[DemoTask], progress: ProgressCallback
) -> list[DemoTask]:
    """Let the connected backend pre-annotate tasks; Label Studio skips those that have a prediction already.

    Returns
    -------
    list of DemoTask, the tasks without a prediction, not even an empty one.
    """
    for done in range(0, len(tasks), _PREDICTION_BATCH):
        progress(done, len(tasks), "Pre-annotating")
        api.retrieve_predictions(project, [task.id for task in tasks[done : done + _PREDICTION_BATCH]])
    predicted = {task.id for task in api.tasks(project) if task.predictions}
    return [task for task in tasks if task.id not in predicted]
