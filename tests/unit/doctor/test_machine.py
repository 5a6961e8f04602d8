import os
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from sam_backend.doctor import machine
from sam_backend.doctor.findings import BrokenOffError, Check, Outcome, examine
from sam_backend.doctor.machine import machine_checks
from sam_backend.errors import BadRequestError
from sam_backend.segmenters.model_registry import model_info
from sam_backend.settings import Settings

NANO = model_info("nano")


@pytest.fixture
def found(tmp_path):
    """Return a function that returns what a check of this machine finds."""

    def run(name, info=NANO, **fields):
        settings = Settings(**{"home": tmp_path / "home", "cache": tmp_path / "cache"} | fields)
        (check,) = (one for one in machine_checks(settings, info) if one.name == name)
        (finding,) = examine([check])
        return finding

    return run


def test_after_a_check_that_breaks_off_the_others_are_skipped():
    def fine():
        yield Outcome.OK, "fine", ""

    def broken():
        yield Outcome.OK, "so far", ""
        raise BrokenOffError("http://user:secret@host is away", "start it")

    def refused():
        raise BadRequestError("no")
        yield

    findings = list(examine([Check("a", fine), Check("b", broken), Check("c", fine)]))
    assert [(one.check, one.outcome) for one in findings] == [
        *[("a", "ok"), ("b", "ok"), ("b", "failed"), ("c", "skipped")]
    ]
    assert "secret" not in findings[2].found
    assert findings[2].cure == "start it"
    assert "failed above: b" in findings[3].found
    assert next(iter(examine([Check("c", refused)]))).found == "no"


def test_packages_of_another_version_are_named(found, monkeypatch):
    assert found("packages").outcome == Outcome.OK
    lines = ["numpy>=99", "nothing-like-it>=1", 'torch>=99; extra == "torch"', 'colorama; platform_system == "Amiga"']
    monkeypatch.setattr(machine, "requires", lambda name: lines)
    finding = found("packages")
    assert finding.outcome == Outcome.FAILED
    assert "numpy" in finding.found
    assert "nothing-like-it>=1 is not installed" in finding.found
    assert "torch" not in finding.found
    assert "colorama" not in finding.found
    assert "not installed: torch" in found("extras").found


def test_the_extras_are_those_of_the_distribution(found):
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8"))["project"]
    lists = re.findall(r"installed: ([\w, -]+)", found("extras").found)
    named = {name for text in lists for name in text.split(", ")} - {"none"}
    assert named == {*project["optional-dependencies"]} - {"dev", "train"}


def test_a_model_without_its_packages_says_how_to_get_them(found, monkeypatch):
    monkeypatch.setattr("sam_backend.extras.find_spec", lambda name: None)
    finding = found("extras", model_info("sam:vit_b"))
    assert finding.outcome == Outcome.FAILED
    assert "torch" in finding.found
    assert finding.cure.startswith("pip install")


def test_a_card_that_is_not_used_and_a_heavy_model_without_one_are_warnings(found, monkeypatch):
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    assert found("processor").outcome == Outcome.OK
    heavy = SimpleNamespace(name="heavy", packages=(), missing_packages=(), is_heavy=True)
    assert "takes seconds for an image" in found("processor", heavy).found
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    finding = found("processor")
    assert finding.outcome == Outcome.WARNING
    assert "onnxruntime-gpu" in finding.cure
    monkeypatch.setattr(machine, "execution_providers", lambda: ["CUDA", "CPU"])
    assert "onnxruntime offers CUDA" in found("processor").found


def test_little_memory_and_a_full_disk_are_found(found, monkeypatch):
    monkeypatch.setattr(machine, "free_memory", lambda: 1.5e9)
    assert found("memory").outcome == Outcome.WARNING
    for free, outcome in ((1e8, Outcome.FAILED), (1e9, Outcome.WARNING), (1e11, Outcome.OK)):
        monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder, free=free: SimpleNamespace(free=free))
        assert found("cache folder").outcome == outcome


def test_a_folder_that_cannot_be_written_names_its_setting(found, tmp_path):
    (tmp_path / "file").write_text("no folder")
    finding = found("home folder", home=tmp_path / "file" / "home")
    assert finding.outcome == Outcome.FAILED
    assert "SAM_INSPECT_HOME" in finding.cure
    assert not os.listdir(found("cache folder").found.partition(" can be written")[0])


def test_memory_ends_at_the_limit_of_a_container(monkeypatch):
    texts = {"max": "2000000000", "current": "500000000"}

    def read_text(path, encoding=None):
        if path.name == "meminfo":
            return "MemTotal: 9 kB\nMemAvailable: 8000000 kB\n"
        return texts[path.suffix.removeprefix(".")]

    monkeypatch.setattr(machine.Path, "read_text", read_text)
    assert machine.free_memory() == 1.5e9
    texts["max"] = "max"
    assert machine.free_memory() == 8e6 * 1024
