"""Our own backend as the demo's child process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from sam_backend.demo.processes import running

_PATIENCE = 300.0  # a large checkpoint on a slow disk


@contextmanager
def backend(model: str, *, home: Path, port: int, keep_embeddings: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """Run `sam-inspect serve` on `port` of this machine until the block ends; it yields once the model is loaded.

    Parameters
    ----------
    model : name of a segmenter.
    home : folder for what the backend remembers, and for its log.
    keep_embeddings : whether embeddings are kept on disk, as usual; without, every image is new to each run.
    """
    # A user's settings for a server of his own must not reach the demo's.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SAM_INSPECT_")}
    kept = {name: os.environ[name] for name in ("SAM_INSPECT_WEIGHTS", "SAM_INSPECT_CACHE") if name in os.environ}
    own = {"SAM_INSPECT_HOME": str(home / "backend"), "NO_PROXY": "*"}
    if not keep_embeddings:
        own["SAM_INSPECT_EMBEDDING_DISK_MB"] = "0"
    with running(
        "The backend",
        [sys.executable, "-m", "sam_inspect", "serve", "--model", model, "--host", "127.0.0.1", "--port", str(port)],
        environment=inherited | kept | own,
        log=home / "logs" / "backend.log",
        is_ready=lambda: _has_loaded(f"http://127.0.0.1:{port}/health", model),
        patience=_PATIENCE,
    ) as process:
        yield process


def _has_loaded(url: str, model: str) -> bool:
    """Whether the backend gives its model's version, which it knows once the model is loaded."""
    try:
        answer = httpx.get(url, timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.is_success and answer.json().get("model_version") != model
