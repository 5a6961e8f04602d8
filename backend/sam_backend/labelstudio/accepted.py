"""The accepted annotations of a project with their images, fetched into a folder."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from sam_backend.errors import ImageServerError, SamInspectError
from sam_backend.files import write_whole
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.images import TaskImages
from sam_backend.labelstudio.servers import AccessTokens, Server

EXPORT = "export.json"

_PATIENCE = 300.0
"""Seconds that a Label Studio has for an export, which it makes while one waits."""


def fetch_accepted(
    server: Server,
    project: int,
    folder: Path,
    images: TaskImages,
    *,
    timeout: float,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Fetch the annotated tasks of a project into `folder`; return the export in it, in Label Studio's JSON.

    Each task's image is named by the task: `images/12.png`. An image that was fetched before stays; one that cannot be
    fetched is left out, and whoever reads the export is told so by its absence.

    Parameters
    ----------
    server : the Label Studio.
    project : its id there.
    folder : where all is kept.
    images : fetches images.
    timeout : seconds that the Label Studio has for anything but the export.
    progress : told images done and in all.

    Raises
    ------
    ImageServerError
        If Label Studio does not answer, or refuses.
    SamInspectError
        If the project's labeling config has no control that takes masks.
    """
    token = AccessTokens(timeout).of(server)
    kind = "Bearer" if token.count(".") == 2 else "Token"
    with httpx.Client(
        base_url=server.hostname, headers={"Authorization": f"{kind} {token}"}, follow_redirects=True
    ) as http:
        about = _get(http, server, f"/api/projects/{project}/", timeout, {})
        tasks = _get(http, server, f"/api/projects/{project}/export", _PATIENCE, {"exportType": "JSON"})
    image = LabelingConfig.parse(about["label_config"]).target().image
    kept = []
    for done, task in enumerate(tasks):
        progress(done, len(tasks))
        annotated = [each for each in task["annotations"] if not each.get("was_cancelled")]
        if not annotated:
            continue
        try:
            name = _fetch_image(image.source(task["data"]), server, task["id"], folder / "images", images)
        except SamInspectError:
            name = f"{task['id']}.png"
        for each in annotated:
            each["result"] = [region for region in each["result"] if region.get("to_name", image.name) == image.name]
        kept.append({"id": task["id"], "data": {"image": name}, "annotations": annotated, "predictions": []})
    progress(len(tasks), len(tasks))
    write_whole(folder / EXPORT, json.dumps(kept).encode())
    return folder / EXPORT


def _get(http: httpx.Client, server: Server, path: str, timeout: float, query: Mapping[str, str]) -> Any:
    try:
        answer = http.get(path, params=dict(query), timeout=timeout)
    except httpx.HTTPError as error:
        raise ImageServerError(
            f"Label Studio at {server.shown} did not answer {path}: {type(error).__name__}."
        ) from None
    if not answer.is_success:
        raise ImageServerError(
            f"Label Studio at {server.shown} answered {answer.status_code} to {path}; the project may be another, or "
            "the token may not read it: set SAM_INSPECT_LABEL_STUDIO_API_KEY."
        )
    try:
        return answer.json()
    except ValueError:
        raise ImageServerError(
            f"{server.shown} does not answer {path} as Label Studio does; check its address."
        ) from None


def _fetch_image(url: str, server: Server, task: int, folder: Path, images: TaskImages) -> str:
    """Keep a task's image in a folder, and return its name there."""
    for known in folder.glob(f"{task}.*"):
        if known.suffix != ".part":
            return known.name
    content = images.fetch(url, server, task)
    with Image.open(io.BytesIO(content)) as image:
        suffix = {"jpeg": "jpg"}.get(form := (image.format or "png").lower(), form)
    write_whole(folder / f"{task}.{suffix}", content)
    return f"{task}.{suffix}"
