import json

import pytest
from typer.testing import CliRunner

from sam_inspect.main import app


@pytest.fixture
def doctor(tmp_path):
    def run(*words, **variables):
        folders = {"SAM_INSPECT_HOME": str(tmp_path / "home"), "SAM_INSPECT_CACHE": str(tmp_path / "cache")}
        return CliRunner().invoke(app, ["doctor", *words], env=folders | variables)

    return run


def test_a_machine_that_is_fine_is_found_so(doctor):
    result = doctor("--json")
    told = json.loads(result.output)
    assert [one["check"] for one in told["findings"]][-3:] == ["weights", "model", "click"]
    assert {one["outcome"] for one in told["findings"]} <= {"ok", "warning"}
    assert result.exit_code == 0


def test_a_failure_is_told_with_its_cure_and_an_exit_code(doctor, tmp_path):
    (tmp_path / "file").write_text("no folder")
    result = doctor("--model", "sam:vit_b", SAM_INSPECT_HOME=str(tmp_path / "file"))
    assert result.exit_code == 1
    assert "✗ home folder" in result.output
    assert "→ Give this user the folder, or set SAM_INSPECT_HOME" in result.output
    assert "✗ weights: The weights of sam:vit_b are not here" in result.output
    assert "- click: It needs what failed above: weights" in result.output


def test_the_token_does_not_appear(doctor):
    result = doctor("--label-studio", "http://127.0.0.1:1", "--token", "0123456789abcdef")
    assert result.exit_code == 1
    assert "✗ Label Studio: Label Studio at http://127.0.0.1:1 cannot be reached" in result.output
    assert "0123456789abcdef" not in result.output


@pytest.mark.parametrize(
    ("stores", "sentence"),
    [
        ("foo", "SAM_INSPECT_STORES names foo; name folders such as s3://bucket/line1."),
        ("s3://u:secret@x/y", "SAM_INSPECT_STORES: The address s3://***@x/y has a password in it; give it as"),
    ],
)
def test_a_setting_of_stores_that_the_service_refuses_fails(doctor, stores, sentence):
    result = doctor("--json", SAM_INSPECT_STORES=stores)
    (*_, last) = json.loads(result.output)["findings"]
    assert (last["check"], last["outcome"]) == ("settings", "failed")
    assert last["found"].startswith(sentence)
    assert "secret" not in result.output


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--project", "3"), "No Label Studio with a project 3 is known here"),
        (("--model", "nosuch"), "There is no model 'nosuch'"),
        (("--label-studio", "http://me:secret@127.0.0.1:1", "--token", "a"), "SAM_INSPECT_LABEL_STUDIO_URL is "),
        (
            ("--label-studio", "http://127.0.0.1:1", "--token", "a secret"),
            "SAM_INSPECT_LABEL_STUDIO_API_KEY is no token",
        ),
    ],
)
def test_what_lets_no_check_begin_is_a_finding_too(doctor, words, found):
    result = doctor(*words, "--json")
    (*_, last) = json.loads(result.output)["findings"]
    assert (last["check"], last["outcome"]) == ("settings", "failed")
    assert last["found"].startswith(found)
    assert "secret" not in result.output
    assert result.exit_code == 1
