"""The command `sam-inspect`: each command only translates its options; the work is elsewhere."""

import sys

import typer
from rich.console import Console

from sam_backend.errors import SamInspectError

app = typer.Typer(
    name="sam-inspect",
    help="Masks for Label Studio from the Segment Anything Model, and tables that measure its gap on industrial images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Keep a single command a sub-command."""


def main() -> None:
    """Run the command line; a user's mistake is one sentence on standard error and exit code 1."""
    try:
        app()
    except SamInspectError as error:
        Console(stderr=True).print(f"sam-inspect: {error}", style="red", highlight=False, markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
