"""Which setting a command uses: its option, or else the environment, the settings file, the default."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from marks import needs_torch
from sam_backend.core.project_work import ProjectWork
from sam_backend.demo import run_demo
from sam_backend.errors import SamInspectError
from sam_backend.segmenters import WeightFolders
from sam_backend.segmenters.entries import OWN
from sam_backend.service import server
from sam_evaluation import runner
from sam_evaluation.datasets.sample_files import max_pixels
from sam_inspect.main import app


def typed(*words: object) -> str:
    """Return what a command printed; its error is raised."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


@pytest.fixture(autouse=True)
def _no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command puts its settings file into the environment."""
    monkeypatch.setenv("SAM_INSPECT_SETTINGS", os.devnull)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return the models and the focus that `serve` would serve with."""
    calls: list[tuple[str, str]] = []
    monkeypatch.setattr(server, "serve", lambda model, settings, **_: calls.append((model, settings.focus.value)))
    return calls


@pytest.mark.parametrize(
    ("file", "variable", "option", "expected"),
    [
        ("", "", "", "nano"),
        ("sam:vit_l", "", "", "sam:vit_l"),
        ("sam:vit_l", "grabcut", "", "grabcut"),
        ("sam:vit_l", "grabcut", "sam:vit_b", "sam:vit_b"),
    ],
)
def test_an_option_wins_over_the_variable_over_the_file_over_the_default(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    served: list[tuple[str, str]],
    file: str,
    variable: str,
    option: str,
    expected: str,
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(f"model = '{file}'" if file else "")
    monkeypatch.setenv("SAM_INSPECT_MODEL", variable)
    typed("--settings", settings, "serve", *(["--model", option] if option else []))
    assert served[0][0] == expected


@pytest.mark.parametrize(("option", "expected"), [([], "off"), (["--focus", "on"], "on")])
def test_the_option_focus_wins_over_its_variable(
    monkeypatch: pytest.MonkeyPatch, served: list[tuple[str, str]], option: list[str], expected: str
) -> None:
    monkeypatch.setenv("SAM_INSPECT_FOCUS", "off")
    typed("serve", *option)
    assert served[0][1] == expected


def test_the_option_allow_host_adds_to_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed: list[str | None] = []
    monkeypatch.setattr(server, "serve", lambda _model, settings, **_: allowed.append(settings.allow_host))
    monkeypatch.setenv("SAM_INSPECT_ALLOW_HOST", "a")
    typed("serve", "--allow-host", "b:1", "--allow-host", "10.0.0.0/8")
    assert allowed == ["a b:1 10.0.0.0/8"]


@pytest.mark.parametrize(
    "words",
    [
        ["serve"],
        ["demo", "--home", "{folder}/home"],
        ["download"],
        ["evaluate", "--data", "masks:{surfaces}", "--out", "{folder}/out"],
        ["simulate", "--data", "masks:{surfaces}", "--budget", "1", "--arms", "plain", "--out", "{folder}/out"],
        pytest.param(["finetune", "--data", "masks:{surfaces}"], marks=needs_torch),
        pytest.param(["tune-refiner", "--data", "masks:{surfaces}"], marks=needs_torch),
    ],
    ids=lambda words: words[0],
)
def test_the_models_variable_holds_for_commands_without_the_option(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, surfaces: Path, words: list[str]
) -> None:
    monkeypatch.setenv("SAM_INSPECT_MODEL", "nanno")
    # The log of a service would stay that of all later tests.
    monkeypatch.setattr(server, "configure_logging", lambda *_: None)
    with pytest.raises(SamInspectError, match="nanno"):
        typed(*(word.format(folder=tmp_path, surfaces=surfaces) for word in words))


@pytest.mark.parametrize("words", [["memory", "rebuild"], ["memory", "show"], ["preannotate"], ["rank"]])
def test_the_models_variable_holds_for_a_projects_memory(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    def refuse(_settings: object, _project: str, model: str, _checkpoint: object) -> None:
        raise SamInspectError(f"opened with {model}")

    monkeypatch.setattr(ProjectWork, "open", refuse)
    monkeypatch.setenv("SAM_INSPECT_MODEL", "grabcut")
    with pytest.raises(SamInspectError, match="opened with grabcut"):
        typed(*words, "--project", 1)


def test_no_command_has_a_model_of_its_own_as_default() -> None:
    def commands(group):
        for command in group.commands.values():
            yield from commands(command) if hasattr(command, "commands") else [command]

    with_model = {
        command.name: parameter
        for command in commands(get_command(app))
        for parameter in command.params
        if parameter.name == "model"
    }
    assert len(with_model) >= 11
    assert all(not parameter.default for parameter in with_model.values())
    assert all("SAM_INSPECT_MODEL" in parameter.help for parameter in with_model.values())


def test_a_wrong_settings_file_stops_a_command_before_it_does_anything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run_demo, "run", None)
    settings = tmp_path / "settings.toml"
    settings.write_text("modell = 'nano'")
    with pytest.raises(SamInspectError, match=r"settings\.toml: there is no setting 'modell'.* did you mean model\?"):
        typed("--settings", settings, "demo")


def test_the_folder_of_weights_in_the_settings_file_reaches_the_commands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, surfaces: Path
) -> None:
    (published,) = OWN["sam:vit_b"].files
    (tmp_path / published.filename).touch()
    settings = tmp_path / "settings.toml"
    settings.write_text("weights = '.'")
    monkeypatch.setenv("COLUMNS", "400")
    assert str(tmp_path / published.filename) in typed("--settings", settings, "models")
    folders: list[WeightFolders] = []

    def stop(*_: object, **options: object) -> None:
        folders.append(options["folders"])
        raise SamInspectError("stopped")

    monkeypatch.setattr(runner, "evaluate", stop)
    with pytest.raises(SamInspectError, match="stopped"):
        typed("--settings", settings, "evaluate", "--data", f"masks:{surfaces}", "--out", tmp_path / "out")
    assert folders[0].given == tmp_path


def test_the_settings_file_reaches_the_readers_of_data_sets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, surfaces: Path
) -> None:
    monkeypatch.setattr("sam_evaluation.datasets.sample_files.max_pixels", max_pixels.__wrapped__)
    settings = tmp_path / "settings.toml"
    settings.write_text("max_image_pixels = 1000")
    with pytest.raises(SamInspectError, match=r"at most 1,000 are taken"):
        typed("--settings", settings, "evaluate", "--data", f"masks:{surfaces}", "--out", tmp_path / "out")
