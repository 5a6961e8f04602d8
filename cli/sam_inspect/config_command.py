"""The command `config`."""

from __future__ import annotations

from typing import Annotated

import typer

from sam_inspect.output import print_lines


def config(
    labels: Annotated[str, typer.Option(help="The labels, separated by commas; their order is that of their keys.")],
    controls: Annotated[
        str,
        typer.Option(
            help="What takes the masks, separated by commas: brush, bitmask, polygon, vector, ellipse, rectangle."
        ),
    ] = "brush",
) -> None:
    """Print a labeling config that works: smart tools for clicks and boxes, and controls for their masks.

    Paste it into Settings, Labeling Interface, Code of a project whose tasks
    have their image in the field image.

    Example: sam-inspect config --labels Scratch,Pit
    Example: sam-inspect config --labels Scratch,Pit --controls brush,polygon
    """
    from sam_backend.labelstudio.config_writer import write_config

    names, shapes = ([part.strip() for part in text.split(",")] for text in (labels, controls))
    print_lines(write_config(names, shapes).rstrip())
