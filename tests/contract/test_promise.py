"""The names that docs/reference/stability.md promises to keep are there.

`PYTHONPATH=tests python tests/contract/test_promise.py` adds the names of a release to promised.json; those to
import are added by hand, with docs/reference/python.md.
"""

import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import typer
from fastapi.testclient import TestClient

from sam_backend.finetune.gate_decisions import keep_decision
from sam_backend.finetune.verdict import Verdict
from sam_backend.finetune.versions import VERSIONS, Versions
from sam_backend.memory.agreement import Compared
from sam_backend.memory.records import Record
from sam_backend.pipeline import pipeline
from sam_backend.segmenters import model_registry
from sam_backend.settings import Settings
from sam_inspect.main import app
from services import make_app
from threshold_segmenter import ThresholdSegmenter

FILE = Path(__file__).with_name("promised.json")
PROMISED = json.loads(FILE.read_text())


def commands(name: str, command: typer.core.TyperCommand) -> Iterator[str]:
    """Yield a command and each of its options and arguments, then those below it."""
    yield name
    for parameter in command.params:
        yield from (f"{name} {option}" for option in (*parameter.opts, *parameter.secondary_opts))
    for inner, below in getattr(command, "commands", {}).items():
        yield from commands(f"{name} {inner}", below)


def fields(value: object, place: str = "") -> Iterator[str]:
    """Yield the paths of all fields of JSON, as of one for each item of a list."""
    if isinstance(value, list):
        value = value[0] if value else {}
    for name, inner in value.items() if isinstance(value, dict) else ():
        yield f"{place}{name}"
        yield from fields(inner, f"{place}{name}.")


def present(folder: Path) -> dict[str, set[str]]:
    """Return the names that are there, by kind; the folder is for a service's files."""
    client = TestClient(make_app(ThresholdSegmenter(), Settings(home=folder / "home", cache=folder / "cache")))
    client.app.state.state_metrics.update()
    store = client.app.state.backend.memories.of("1.1").store
    store.put(Record(1, "2026-11-29T08:30:00Z", 1, "/data/1.png"))
    store.agreement.add(Compared(1, "2026-11-29T08:30:00Z"))
    keep_decision(Versions(folder / "home" / VERSIONS), "nano", "parts", None, Verdict(False, "No better.", {}))
    paths = client.app.openapi()["paths"].items()
    return {
        "commands": set(commands("sam-inspect", typer.main.get_command(app))),
        "settings": set(Settings.model_fields),
        "routes": {f"{method.upper()} {path}" for path, methods in paths for method in methods},
        "status": set(fields(client.get("/status").json())),
        "metrics": set(
            re.findall(r"^# TYPE (sam_inspect_\w+)(?<!_created) ", client.get("/metrics").text, re.MULTILINE)
        ),
        "entry points": {model_registry.ENTRY_POINTS, pipeline.ENTRY_POINTS},
    }


@pytest.mark.parametrize("kind", [kind for kind in PROMISED if kind != "python"])
def test_every_name_that_was_promised_is_there(tmp_path, kind):
    assert set(PROMISED[kind]) - present(tmp_path)[kind] == set()


@pytest.mark.parametrize("name", PROMISED["python"])
def test_every_promised_name_can_be_imported(name):
    module, _, attribute = name.partition(":")
    assert hasattr(import_module(module), attribute)


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        added = {kind: sorted({*PROMISED.get(kind, ()), *names}) for kind, names in present(Path(folder)).items()}
    FILE.write_text(json.dumps(PROMISED | added, indent=1) + "\n")
