"""A command without the packages of an extra says in one sentence what to install."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from marks import needs_torch
from sam_backend import extras
from sam_backend.errors import MissingExtraError
from sam_backend.extras import EVALUATION, TORCH, VIDEO, how_to_install, require
from sam_inspect.main import app

_ROOT = Path(__file__).parents[2]

_HEAVY = {*EVALUATION, *TORCH, *VIDEO}


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(
        MissingExtraError, match=r"^x needs gone, not installed here; run pip install 'sam-inspect\[evaluation\]'$"
    ):
        require(["numpy", "gone"], "x", how_to_install("evaluation"))


def test_nothing_is_raised_where_all_packages_are_installed() -> None:
    require(["numpy"], "x", how_to_install("evaluation"))


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "--model", "nano", "--data", "masks:parts", "--out", "run"],
        ["report", "run"],
        ["compare", "run", "other"],
        ["gate", "run", "--min", "iou.box>=0.7"],
        ["simulate", "--data", "masks:parts"],
        pytest.param(["finetune", "--data", "masks:parts"], marks=needs_torch),
    ],
    ids=lambda command: command[0],
)
def test_a_command_without_the_evaluation_extra_says_what_to_install(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in EVALUATION else found(name))
    error = CliRunner().invoke(app, command).exception
    assert isinstance(error, MissingExtraError)
    assert str(error).startswith(f"{command[0]} needs jinja2, matplotlib, pandas, pyarrow and skimage,")
    assert str(error).endswith("not installed here; run pip install 'sam-inspect[evaluation]'")


def test_the_library_without_the_evaluation_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sam_evaluation

    found = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "pandas" else found(name))
    with pytest.raises(MissingExtraError, match=r"^sam_evaluation needs pandas"):
        _ = sam_evaluation.evaluate


def test_the_service_and_the_commands_of_the_base_import_nothing_of_an_extra() -> None:
    code = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {_HEAVY!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
import sam_inspect.main
import sam_backend.service.server, sam_backend.service.app, sam_backend.core.backend, sam_backend.demo.run_demo
import sam_evaluation.exports.run, sam_evaluation.exports.project_source
from sam_backend.segmenters.model_registry import load_segmenter
load_segmenter("nano")
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=_ROOT)


def test_only_finetuning_and_what_needs_torch_import_an_extra_in_the_backend() -> None:
    allowed = ("finetune/", "segmenters/nano/architecture.py", "segmenters/refiner/architecture.py", "segmenters/sam")
    allowed += tuple(
        f"segmenters/{module}.py" for module in ("interactive", "mobile_sam", "torch_place", "video_models")
    )
    allowed += tuple(f"proposer/{module}.py" for module in ("export", "job", "net", "training"))
    for path in sorted((_ROOT / "backend/sam_backend").rglob("*.py")):
        name = path.relative_to(_ROOT / "backend/sam_backend").as_posix()
        top_level = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        modules = {alias.name for node in top_level if isinstance(node, ast.Import) for alias in node.names}
        modules |= {node.module for node in top_level if isinstance(node, ast.ImportFrom) and node.module}
        if not name.startswith(allowed):
            assert not {module.partition(".")[0] for module in modules} & _HEAVY, name
