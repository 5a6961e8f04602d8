"""Which setting a command uses: its option, or else the environment, the settings file, the default."""

import pytest
from typer.testing import CliRunner

from sam_backend.service import server
from sam_inspect.main import app


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
