"""What the pages name exists: commands, their options, and names to import."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import typer

from sam_inspect.main import app

ROOT = Path(__file__).parents[3]
ROOT_COMMAND = typer.main.get_command(app)
PAGES = [*ROOT.glob("docs/**/*.md"), ROOT / "README.md"]
_IN_WORDS = re.compile(r"`(sam-inspect [a-z][^`\n]+)`")
_IN_CODE = re.compile(r"(?<![\w./-])(?<!--namespace )sam-inspect [a-z][^\n#;]+")
_TABLE = re.compile(r"^\| name of `([\w.]+)` \| what \|\n\|---\|---\|\n((?:\|.*\n)+)", re.MULTILINE)


def commands_of(page: Path) -> list[str]:
    """The calls of `sam-inspect` in a page's code and between its words, each as one line."""
    text = re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8"))
    fenced = re.findall(r"^ *```[^\n]*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^    \S.*$", text, re.MULTILINE)
    calls = [call for code in (*fenced, *indented) for call in _IN_CODE.findall(code)]
    return [call.strip() for call in (*calls, *_IN_WORDS.findall(text))]


def unknown_words(line: str) -> list[str]:
    """The command and the options of a call that there are not."""
    words = shlex.split(line)[1:]
    command = ROOT_COMMAND
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    return words[: command is ROOT_COMMAND] + [
        word for word in words if re.match("--[a-z]", word) and word not in known
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_of_a_page_exists(page: Path) -> None:
    assert {line: unknown for line in commands_of(page) if (unknown := unknown_words(line))} == {}


def test_the_commands_of_a_page_are_seen() -> None:
    assert len(commands_of(ROOT / "docs" / "roles" / "operator.md")) >= 6
    assert unknown_words("sam-inspect evaluate --out runs --no-such-option") == ["--no-such-option"]


PYTHON = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")


def test_every_name_of_the_python_page_can_be_imported() -> None:
    tables = _TABLE.findall(PYTHON)
    assert len(tables) == 3
    for module, rows in tables:
        for name in (name for row in rows.splitlines() for name in re.findall(r"`([\w.]+)`", row.split("|")[1])):
            place, _, last = f"{module}.{name}".rpartition(".")
            assert hasattr(import_module(place), last), name
    assert set(import_module("sam_backend.segmenters").__all__) <= set(re.findall(r"`(\w+)`", PYTHON))


def test_the_code_of_the_python_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", PYTHON, re.DOTALL):
        exec(code, names)
    assert re.match(r"IoU 0\.9\d, boundary F 1\.00, ", capsys.readouterr().out)
