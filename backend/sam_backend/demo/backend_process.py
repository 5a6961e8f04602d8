"""Our backend as a child process of the demo."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from sam_backend.demo.processes import running
from sam_backend.settings import Settings

_START_TIMEOUT = 300.0  # seconds; a large checkpoint on a slow disk takes long


@contextmanager
def backend(
    model: str,
    settings: Settings,
    *,
    home: Path,
    port: int,
    label_studio: str | None = None,
    keep_embeddings: bool = True,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `sam-inspect serve` on `port` of this machine until the block ends; yield when the model is loaded.

    Parameters
    ----------
    model : str, the model's name.
    home : Path, the folder for the backend's data and its log.
    port : int, the port to listen on.
    label_studio : str, the address of Label Studio, which has another port than in the last run if that one was taken.
    keep_embeddings : bool, whether embeddings are kept on disk. If not, every run encodes every image.
    """
    # The user's settings for another server must not reach this one.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SAM_INSPECT_")}
    kept = {"SAM_INSPECT_CACHE": str(settings.cache), "SAM_INSPECT_SETTINGS": os.devnull}
    if settings.weights:
        kept["SAM_INSPECT_WEIGHTS"] = str(settings.weights)
    own = {"SAM_INSPECT_HOME": str(home / "backend"), "NO_PROXY": "*"}
    if label_studio:
        own["SAM_INSPECT_LABEL_STUDIO_URL"] = label_studio
    if not keep_embeddings:
        own["SAM_INSPECT_EMBEDDING_DISK_MB"] = "0"
    with running(
        "The backend",
        [
            sys.executable,
            "-P",
            "-m",
            "sam_inspect",
            "serve",
            "--model",
            model,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ],
        environment=inherited | kept | own,
        log=home / "logs" / "backend.log",
        is_ready=lambda: _has_loaded(f"http://127.0.0.1:{port}/health", model),
        timeout=_START_TIMEOUT,
    ) as process:
        yield process


def _has_loaded(url: str, model: str) -> bool:
    """Return whether the backend answers with the version of its model, which it knows when the model is loaded."""
    try:
        answer = httpx.get(url, timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.is_success and answer.json().get("model_version") != model
