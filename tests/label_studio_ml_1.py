"""The server of label-studio-ml 1.0.9 with SamInspectModel, a process of its own."""

import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from label_studio_ml_pages import write_documented_files
from waiting import PATIENCE, wait_for

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / ".venv" / "label-studio-ml-1"
SERVER = """
import sys
# Where it finds PyTorch, each webhook's process takes seconds to begin.
sys.modules["torch"] = None
import label_studio_ml.model
del sys.modules["torch"]
if sys.argv[2] == "colour":
    from colour_segmenter import ColourSegmenter
    from sam_backend.core import backend
    from sam_backend.segmenters.correcting import Correcting
    backend.load_segmenter = lambda *_, **__: Correcting(ColourSegmenter())
from _wsgi import app
app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
"""


class Server:
    def __init__(self, url, folder):
        self.url = url
        self.jobs = folder / "jobs"

    def post(self, path, body):
        return requests.post(self.url + path, json=body, timeout=PATIENCE)

    def predict(self, body):
        response = self.post("/predict", body)
        assert response.status_code == 200, response.text
        return response.json()["results"]

    def send(self, body):
        """Send a webhook; return what `fit` returned to the process that the server began for it."""
        before = self.results()
        assert self.post("/webhook", body).status_code == 201
        ((path, _),) = wait_for(lambda: self.results() - before)
        return wait_for(lambda: read(path))

    def results(self):
        # Jobs are named by the second, so one may take another's place.
        return {(path, path.stat().st_mtime_ns) for path in self.jobs.glob("[0-9]*/job_result.json")}


def read(path):
    try:
        return json.loads(path.read_text())
    except ValueError:
        return None


@contextmanager
def running(folder, model="colour"):
    """Run the server in a folder, with a model or with the tests' own."""
    if not (PACKAGE / "installed").is_file():
        if os.environ.get("CI"):
            pytest.fail("label-studio-ml 1.0.9 is not installed; its tests must run here")
        pytest.skip("label-studio-ml 1.0.9 is not installed; run make setup")
    write_documented_files(folder, version=1)
    (folder / "serve.py").write_text(SERVER)
    # A port that the system gives, which no other run of the tests on this machine is given.
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    paths = [PACKAGE, ROOT / "backend", ROOT / "evaluation", ROOT / "tests"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "SAM_INSPECT_HOME": str(folder / "home"),
        "SAM_INSPECT_CACHE": str(folder / "cache"),
        # What does not learn spares a training, which test_trainings.py starts.
        "SAM_INSPECT_MODEL": "grabcut" if model == "colour" else model,
        "LABEL_STUDIO_ML_BACKEND_V2": "true",
    }
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "serve.py", str(port), model], cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        wait_for(lambda: process.poll() is not None or answers(url))
        assert process.poll() is None, (folder / "log.txt").read_text()
        yield Server(url, folder)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def answers(url):
    try:
        return requests.get(f"{url}/health", timeout=PATIENCE).ok
    except requests.ConnectionError:
        return False
