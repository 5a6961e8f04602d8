"""What version 1.0.0 wrote, every later 1.x reads: the home folder of a server, and a run of `evaluate`.

`PYTHONPATH=tests python tests/contract/test_files_of_1_0.py` wrote them; it is kept to show how.
"""

import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from fastapi.testclient import TestClient
from typer.testing import CliRunner

from annotation_events import ASKED, CONFIG, event, task
from colour_segmenter import ColourSegmenter, write_surfaces
from label_studio_requests import PROJECT, batch
from sam_backend.finetune.gate_decisions import gate_decisions, keep_decision
from sam_backend.finetune.verdict import Verdict
from sam_backend.finetune.versions import VERSIONS, Version, Versions
from sam_backend.memory.agreement import Compared
from sam_backend.memory.memories import Memories
from sam_backend.settings import Settings
from sam_evaluation import load_run, write_report
from sam_inspect.main import app
from services import make_app
from tokens import LEGACY
from waiting import PATIENCE

WRITTEN = Path(__file__).with_name("files-of-1.0.zip")
_HOST = "http://127.0.0.1:1"


def server(home: Path) -> TestClient:
    settings = Settings(home=home, cache=home.parent / "cache", allow_host="127.0.0.1", prefetch=0)
    return TestClient(make_app(ColourSegmenter(), settings))


def test_a_server_knows_what_was_accepted_and_where_its_label_studio_is(tmp_path):
    zipfile.ZipFile(WRITTEN).extractall(tmp_path)
    with server(tmp_path / "home") as client:
        backend = client.app.state.backend
        for _ in range(2):
            (result,) = client.post("/predict", json=batch(task(9, ASKED[0]), config=CONFIG)).json()["results"]
            assert backend.learner.wait(PATIENCE)
        known = backend.servers.find(PROJECT)
    assert sorted(region["value"]["brushlabels"] for region in result["result"]) == [["green"], ["red"]]
    assert (known.hostname, known.token) == (_HOST, LEGACY)


def test_what_serves_what_gates_decided_and_how_proposals_fared_is_known(tmp_path):
    zipfile.ZipFile(WRITTEN).extractall(tmp_path)
    home = tmp_path / "home"
    versions = Versions(home / VERSIONS)
    assert (versions.current("nano"), versions.problems()) == ("nano-0001", [])
    assert (versions.verified("nano-0001") / "weights.onnx").read_bytes() == b"weights"
    (decision,) = gate_decisions(versions)
    assert (decision.version, decision.passed, decision.metrics) == ("nano-0001", True, {"box.iou": [0.7, 0.8]})
    compared = Memories(home).of(PROJECT).store.agreement
    assert (compared.all()[1].outcomes["unchanged"], compared.all()[1].ious, compared.problem) == (2, [1.0, 1.0], "")


def test_a_run_is_loaded_and_reported(tmp_path):
    zipfile.ZipFile(WRITTEN).extractall(tmp_path)
    run = load_run(tmp_path / "run")
    assert len(run.objects) == 64
    assert write_report(run, tmp_path / "report").is_file()


def _write(folder: Path) -> None:
    with server(folder / "home") as client:
        client.post("/setup", json={"project": PROJECT, "schema": CONFIG, "hostname": _HOST, "access_token": LEGACY})
        client.post("/webhook", json=event("ANNOTATION_CREATED")).raise_for_status()
        assert client.app.state.backend.learner.wait(PATIENCE)
        store = client.app.state.backend.memories.of(PROJECT).store
        store.agreement.add(Compared(1, "2026-11-23T05:32:00Z", "nano-1", {"unchanged": 2}, [1.0, 1.0]))
    versions, verdict = Versions(folder / "home" / VERSIONS), Verdict(True, "It is better.", {"box.iou": [0.7, 0.8]})
    with versions.staging("nano") as staged:
        (staged / "weights.onnx").write_bytes(b"weights")
        version = versions.add(Version("", "nano", "nano-12345678", data="parts", passed=True), staged)
    versions.promote(version.name)
    keep_decision(versions, "nano", "parts", version, verdict)
    (folder / "data").mkdir()
    data = write_surfaces(folder / "data")
    options = ["--data", f"masks:{data}", "--model", "grabcut", "--protocol", "box,click", "--out", str(folder / "run")]
    done = CliRunner().invoke(app, ["evaluate", *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(WRITTEN, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted([*(folder / "home").rglob("*"), *(folder / "run").glob("*")]):
            if path.is_file() and path.suffix not in (".html", ".lock") and path.name != ".lock":
                archive.write(path, path.relative_to(folder))


if __name__ == "__main__":
    with TemporaryDirectory() as written:
        _write(Path(written))
