"""How commands print: lines and tables on standard output, a user's mistake on standard error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import typer

from sam_backend.safe_text import escape_unprintable, mask_secrets

if TYPE_CHECKING:
    from rich.table import Column


def print_lines(*lines: str, err: bool = False) -> None:
    """Print lines as they are, never broken, so that a path or a sentence can be copied; `err`: on standard error."""
    for line in lines:
        typer.echo(line, err=err)


def print_table(heads: Sequence[str | Column], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, as wide as the terminal; the text of a cell is shown as it is."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*heads, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def print_error(error: Exception) -> None:
    """Print a user's mistake, one sentence, without the secrets of addresses."""
    typer.secho(
        f"sam-inspect: {escape_unprintable(mask_secrets(str(error)), keep=chr(10))}", err=True, fg=typer.colors.RED
    )
