"""The command `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sam_inspect.options import ModelOption, settings_of


def demo(
    context: typer.Context,
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of images to annotate; without it, images that the product makes itself."),
    ] = None,
    model: ModelOption = None,
    home: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps Label Studio and its data; by default, the user's data folder."),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of Label Studio, or the next free one.")] = 8080,
    backend_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the backend, or the next free one.")
    ] = 9090,
    once: Annotated[
        bool, typer.Option("--once", help="Need no browser: send a click and a box, check the masks, and end.")
    ] = False,
) -> None:
    """Try everything: a Label Studio with images, connected to this backend.

    The first time, Label Studio is installed into an environment of its own
    (about 1 GB), which takes some minutes. Later runs reuse everything: the
    environment, the project, the images, and what was annotated.

    Examples: sam-inspect demo
              sam-inspect demo --images photos --model grabcut
              sam-inspect demo --once
    """
    from rich.console import Console

    from sam_backend.demo.run_demo import Demo, run

    settings = settings_of(context)
    folder = home or settings.home / "demo"
    run(
        Demo(images, model or settings.model, folder, port, backend_port),
        settings=settings,
        once=once,
        console=Console(),
    )
