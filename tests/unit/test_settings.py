"""Settings from the environment."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sam_backend.errors import SamInspectError
from sam_backend.service import server
from sam_backend.settings import settings
from sam_inspect.main import app


@pytest.fixture(autouse=True)
def fresh_settings():
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_a_wrong_value_is_told_with_its_variable(monkeypatch):
    monkeypatch.setenv("SAM_INSPECT_IMAGE_TIMEOUT", "soon")
    with pytest.raises(SamInspectError, match="SAM_INSPECT_IMAGE_TIMEOUT is 'soon'"):
        settings()


def test_an_empty_variable_is_as_good_as_none(monkeypatch):
    monkeypatch.setenv("SAM_INSPECT_HOME", "")
    assert settings().home != Path()


@pytest.mark.parametrize(("option", "expected"), [([], "off"), (["--focus", "on"], "on")])
def test_an_option_of_serve_wins_over_its_variable(monkeypatch, option, expected):
    monkeypatch.setenv("SAM_INSPECT_FOCUS", "off")
    served = []
    monkeypatch.setattr(server, "serve", lambda _model, wanted, **_: served.append(wanted.focus))
    assert CliRunner().invoke(app, ["serve", *option]).exit_code == 0
    assert served == [expected]


@pytest.mark.parametrize(
    ("variable", "option", "expected"),
    [("", [], "nano"), ("grabcut", [], "grabcut"), ("grabcut", ["--model", "sam:vit_b"], "sam:vit_b")],
)
def test_the_model_is_the_options_or_else_the_variables(monkeypatch, variable, option, expected):
    monkeypatch.setenv("SAM_INSPECT_MODEL", variable)
    served = []
    monkeypatch.setattr(server, "serve", lambda model, _wanted, **_: served.append(model))
    assert CliRunner().invoke(app, ["serve", *option]).exit_code == 0
    assert served == [expected]
