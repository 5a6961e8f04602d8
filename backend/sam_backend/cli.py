"""The command `sam-inspect`: each command only translates its options; the work is elsewhere."""

import sys
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from sam_backend.errors import SamInspectError
from sam_backend.settings import settings

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


class LogLevel(StrEnum):
    """How much `serve` tells."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@app.command(rich_help_panel="Label Studio")
def serve(
    model: Annotated[
        str,
        typer.Option(
            help="The model that answers: nano (ships with the package), sam:vit_b, sam:vit_l, sam:vit_h, grabcut."
        ),
    ] = "nano",
    host: Annotated[str, typer.Option(help="Address to listen on; 127.0.0.1 keeps other machines out.")] = "0.0.0.0",  # noqa: S104 - Label Studio usually runs in another container or on another machine
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 9090,
    log_level: Annotated[
        LogLevel, typer.Option(help="From debug, where health checks have lines too, to error.")
    ] = LogLevel.INFO,
) -> None:
    """Answer Label Studio's clicks and boxes with masks, until Ctrl-C.

    To connect it, open a project in Label Studio, then Settings, Model,
    Connect Model: URL http://<this machine>:9090, and switch "Interactive
    preannotations" on. A Label Studio on the same machine or in a private
    network refuses that address unless it runs with ML_BLOCK_LOCAL_IP=false
    and SSRF_PROTECTION_ENABLED=false.

    Settings are environment variables. SAM_INSPECT_BASIC_AUTH_USER and
    SAM_INSPECT_BASIC_AUTH_PASS ask for a password.
    SAM_INSPECT_LABEL_STUDIO_API_KEY is a personal access token, where Label
    Studio does not take the legacy token it sends; with it goes
    SAM_INSPECT_LABEL_STUDIO_URL. SAM_INSPECT_WEIGHTS is the folder of
    official checkpoints.

    Examples: sam-inspect serve
              sam-inspect serve --model sam:vit_b --port 9091
    """
    from sam_backend.service.server import serve as serve_until_stopped

    serve_until_stopped(model, settings(), host=host, port=port, log_level=log_level)


def main() -> None:
    """Run the command line; a user's mistake is one sentence on standard error and exit code 1."""
    try:
        app()
    except SamInspectError as error:
        Console(stderr=True).print(f"sam-inspect: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
