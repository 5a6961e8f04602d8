"""The command `sam-inspect`: each command only translates its options; the work is elsewhere."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sam_backend.errors import SamInspectError
from sam_backend.second_look import Focus
from sam_backend.settings import settings
from sam_inspect import evaluation as commands
from sam_inspect import memory as memory_commands
from sam_inspect import models as tuning_commands
from sam_inspect import simulation as simulation_commands

app = typer.Typer(
    name="sam-inspect",
    help="Masks for Label Studio from the Segment Anything Model, made for industrial images.",
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
        str | None,
        typer.Option(
            help="The model that answers: nano (ships with the package), sam:vit_b, sam:vit_l, sam:vit_h, grabcut. "
            "Default: SAM_INSPECT_MODEL, or nano."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 127.0.0.1 keeps other machines out.")] = "0.0.0.0",  # noqa: S104 - Label Studio usually runs in another container or on another machine
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 9090,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Where the weights are: the official .pth for sam:*, a folder that `train` filled for nano."),
    ] = None,
    focus: Annotated[
        Focus | None,
        typer.Option(
            help="When to look a second time, at a crop around what is small: auto where it was measured to help, on, "
            "off. Default: SAM_INSPECT_FOCUS, or auto."
        ),
    ] = None,
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

    wanted = settings() if focus is None else settings().model_copy(update={"focus": focus})
    serve_until_stopped(model or wanted.model, wanted, host=host, port=port, log_level=log_level, checkpoint=checkpoint)


@app.command(rich_help_panel="Label Studio")
def demo(
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of images to annotate; without it, images that the product makes itself."),
    ] = None,
    model: Annotated[str, typer.Option(help="The model that answers, as in serve.")] = "nano",
    home: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps Label Studio and its data; by default, the user's data folder."),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of Label Studio, or the next free one.")] = 8080,
    backend_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the backend, likewise.")] = 9090,
    once: Annotated[
        bool, typer.Option("--once", help="Need no browser: send a click and a box, check the masks, and end.")
    ] = False,
) -> None:
    """Try everything: a Label Studio with images, connected to this backend.

    The first time, Label Studio is installed into an environment of its own
    (about 1 GB), which takes some minutes. Run again, all is reused: the
    environment, the project, the images, and what was annotated.

    Examples: sam-inspect demo
              sam-inspect demo --images photos --model grabcut
              sam-inspect demo --once
    """
    from sam_backend.demo.app import Demo, run

    folder = home or settings().home / "demo"
    run(Demo(images, model, folder, port, backend_port), once=once, console=Console())


@app.command(rich_help_panel="Models")
def download(
    model: Annotated[str, typer.Argument(help="A model of `sam-inspect models`, such as sam:vit_b.")],
) -> None:
    """Download a model's weights, check them, and print where they are.

    A download that broke off goes on where it stopped. Weights that are here
    already, in the folder SAM_INSPECT_WEIGHTS or in the cache, are checked and
    not downloaded again.

    Example: sam-inspect download sam:vit_b
    """
    from sam_backend.segmenters.registry import model_info
    from sam_backend.segmenters.weights import obtain_checkpoint

    files = model_info(model).files
    if not files:
        Console().print(f"{model} needs no download.", highlight=False)
    for file in files:
        Console().print(str(obtain_checkpoint(file)), highlight=False, markup=False, soft_wrap=True)


app.command(rich_help_panel="Models")(tuning_commands.finetune)
app.add_typer(tuning_commands.models, name="models", rich_help_panel="Models")
app.add_typer(memory_commands.memory, name="memory", rich_help_panel="Label Studio")
app.command(rich_help_panel="Label Studio")(memory_commands.preannotate)
app.command(rich_help_panel="Label Studio")(memory_commands.rank)

for command in (commands.evaluate, commands.report, commands.compare, commands.gate, simulation_commands.simulate):
    app.command(rich_help_panel=commands.PANEL)(command)


def main() -> None:
    """Run the command line; a user's mistake is one sentence on standard error and exit code 1."""
    try:
        app()
    except SamInspectError as error:
        Console(stderr=True).print(f"sam-inspect: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
