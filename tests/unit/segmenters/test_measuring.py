"""What a model costs is measured in a process of its own; one that does not fit gets a sentence."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from marks import needs_torch
from mask_files import save, surface
from sam_backend import extras
from sam_backend.segmenters import WeightFolders, measuring
from sam_backend.segmenters.entries import GRABCUT, NANO, OWN
from sam_backend.segmenters.measuring import measure
from sam_inspect.main import app
from threshold_segmenter import ThresholdSegmenter

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")


@pytest.fixture
def folders(tmp_path):
    return WeightFolders(None, tmp_path / "cache")


@needs_proc
def test_memory_and_clicks_of_a_model_that_ships(folders):
    seen = []
    (cost,) = measure([NANO], folders, lambda done, total, doing="": seen.append((done, total, doing)))
    assert (cost.model, cost.weights, cost.problem) == ("nano", "shipped", "")
    assert 0 < cost.start < cost.rest <= cost.peak
    assert cost.load_s > 0
    # The image is encoded once.
    assert 0 < cost.next_cpu_s < cost.first_cpu_s
    assert cost.next_ms > 0
    assert seen == [(0, 1, "nano"), (1, 1, "")]


def test_times_are_the_middle_ones_of_all_images_that_are_given(folders, tmp_path, monkeypatch):
    segmenter = ThresholdSegmenter()
    monkeypatch.setattr(measuring, "_loaded", lambda *_: (segmenter, "shipped"))
    files = [save(tmp_path / f"{number}.png", surface(number)) for number in range(3)]
    cost = measuring.measure_here(segmenter.info, folders, files)
    assert (segmenter.encoded, len(segmenter.asked)) == (3, 12)
    assert cost.next_ms > 0
    assert measuring._middle([(3.0, 1.0), (1.0, 2.0), (2.0, 9.0)]) == (2.0, 9.0)


@needs_torch
def test_what_does_not_fit_into_memory_is_said_and_the_others_are_measured(folders, monkeypatch):
    monkeypatch.setattr(measuring, "free_memory", lambda: 2 * 10**9)
    monkeypatch.setattr(measuring, "_in_a_process", lambda info, *_: measuring.Cost(info.name, "shipped"))
    large, small = measure([OWN["sam:vit_h"], NANO], folders)
    assert large.problem == "may take 6.1 GB of memory, and 2.0 GB are free"
    assert (small.weights, small.problem) == ("shipped", "")


def test_a_model_whose_packages_are_not_installed_says_what_to_install(folders, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda package: None if package == "transformers" else package)
    (cost,) = measure([OWN["sam2.1:tiny"]], folders)
    assert cost.problem == "needs transformers: pip install 'sam-inspect[transformers]'"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was stopped by the system (signal 9), as when"),
        ("raise ValueError('no such size')", "ValueError: no such size"),
    ],
)
def test_a_process_that_ends_early_gives_its_reason(folders, tmp_path, monkeypatch, code, problem):
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\n{code}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    (cost,) = measure([GRABCUT], folders)
    assert cost.problem.startswith(problem)


def test_a_file_of_the_folder_that_the_user_is_in_takes_the_place_of_no_library(folders, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise ValueError('not yours')")
    monkeypatch.chdir(tmp_path)
    (cost,) = measure([GRABCUT], folders)
    assert cost.problem == ""


def test_the_command_measures_what_is_named_and_prints_a_table_or_json(monkeypatch):
    def made(info, *_):
        if info.name == "sam3":
            return measuring.Cost(info.name, problem="does not fit")
        return measuring.Cost(info.name, "random", 1, 400 * 10**6, None, 1.5, 1234.5, 2.5, 60, 0.07)

    monkeypatch.setattr(measuring, "_obstacle", lambda info: None)
    monkeypatch.setattr(measuring, "_in_a_process", made)
    wide = {"COLUMNS": "200"}
    shown = CliRunner().invoke(app, ["models", "--measure", "nano", "sam3"], env=wide).stdout
    row = next(line.split("  ") for line in shown.splitlines() if line.startswith("nano"))
    cells = [cell.strip() for cell in row if cell.strip()]
    assert cells == ["nano", "random", "400 MB", "unknown", "1.5 s", "1,234 ms (2.50 s)", "60 ms (0.07 s)"]
    assert "Not measured: sam3 does not fit." in shown
    assert "grabcut" not in shown
    printed = CliRunner().invoke(app, ["models", "--measure", "nano", "--json"], env=wide).stdout
    (cost,) = json.loads(printed)
    assert (cost["model"], cost["next_ms"]) == ("nano", 60)
    assert CliRunner().invoke(app, ["models", "--json"]).exit_code == 1


def test_without_a_name_all_models_are_measured(monkeypatch):
    monkeypatch.setattr(measuring, "_obstacle", lambda info: measuring.Cost(info.name, problem="is not measured here"))
    shown = CliRunner().invoke(app, ["models", "--measure"]).stdout
    assert all(f"Not measured: {name} is" in shown for name in OWN)


def test_a_commands_name_stays_a_command_without_measure():
    assert "tuned version" in CliRunner().invoke(app, ["models", "--help"]).stdout
    assert "promote" in CliRunner().invoke(app, ["models", "promote", "--help"]).stdout


@needs_proc
def test_the_limit_of_a_container_counts(monkeypatch):
    free = measuring.free_memory()
    assert free > 0
    real = Path.read_text

    def read_text(path, *given, **more):
        control = {"memory.max": str(10**6), "memory.current": str(10**5)}
        return control[path.name] if path.name in control else real(path, *given, **more)

    monkeypatch.setattr(Path, "read_text", read_text)
    assert measuring.free_memory() == 900_000


def test_published_weights_are_measured_where_they_are(folders, monkeypatch):
    from sam_backend.segmenters import hub, model_registry

    monkeypatch.setattr(hub, "find_weights", lambda published, _: Path(published.filename))
    monkeypatch.setattr(model_registry, "load_segmenter", lambda name, folders: name)
    assert measuring._loaded(OWN["sam:vit_b"], folders) == ("sam:vit_b", "published")
    of_a_package = replace(OWN["sam:vit_b"], name="other:model")
    monkeypatch.setattr(hub, "find_weights", lambda *_: None)
    assert measuring._loaded(of_a_package, folders) == ("other:model", "published")
