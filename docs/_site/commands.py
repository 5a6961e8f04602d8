"""Writes the reference of the command line out of the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

from sam_inspect.main import app

_PAGE, _MARK = "reference/commands.md", "<!-- commands -->"
_EXAMPLE = re.compile(r"^Examples?: ", re.MULTILINE)
_OPTION = re.compile(r"(?<![\w`-])(--[a-z][a-z-]*|SAM_INSPECT_[A-Z_]+)")


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put every command with its options in the place of the mark."""
    if page.file.src_uri != _PAGE:
        return markdown
    return markdown.replace(_MARK, "\n".join(_reference()))


def _reference() -> Iterator[str]:
    root = typer.main.get_command(app)
    yield from _command("sam-inspect", root, typer.Context(root, info_name="sam-inspect"), level=2)
    panels: dict[str, list[str]] = {}
    for name, command in root.commands.items():
        panels.setdefault(command.rich_help_panel, []).append(name)
    for panel, names in panels.items():
        yield f"\n## {panel}\n"
        for name in sorted(names):
            yield from _tree(name, root.commands[name])


def _tree(name: str, command: Any) -> Iterator[str]:
    yield from _command(name, command, typer.Context(command, info_name=f"sam-inspect {name}"), level=3)
    for inner, below in getattr(command, "commands", {}).items():
        yield from _tree(f"{name} {inner}", below)


def _command(name: str, command: Any, context: typer.Context, *, level: int) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"\n{'#' * level} {name}\n"
    yield f"```text\n{context.info_name} {usage}\n```\n"
    yield from _help(command.help)
    rows = [row for parameter in command.get_params(context) if (row := _row(parameter, context))]
    if rows:
        yield "| option | what |\n|---|---|"
        yield from rows


def _help(text: str) -> Iterator[str]:
    """Yield the paragraphs of a command's help; examples become code, each on one line."""
    for paragraph in text.split("\n\n"):
        words, *examples = _EXAMPLE.split(paragraph)
        if words:
            yield f"\n{_marked(words)}\n"
        if examples:
            lines = [line for example in examples for line in re.split(r"\n\s+(?=sam-inspect )", example.strip())]
            yield "\n```sh\n" + "\n".join(" ".join(line.split()) for line in lines) + "\n```\n"


def _row(parameter: Any, context: typer.Context) -> str | None:
    record = parameter.get_help_record(context)
    if record is None or parameter.name == "help":
        return None
    name, text = (" ".join(part.split()) for part in record)
    return f"| `{name}` | {_marked(text)} |"


def _marked(text: str) -> str:
    """Return the text with options and variables as code, and without what Markdown would take for HTML."""
    return _OPTION.sub(r"`\1`", text.replace("<", "&lt;").replace("[", "\\[").replace("|", "\\|"))
