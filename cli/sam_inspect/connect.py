"""The command `connect`."""

from __future__ import annotations

from typing import Annotated

import typer

from sam_inspect.bars import progress_bars
from sam_inspect.options import LabelStudioOption, TokenOption, settings_of, with_label_studio
from sam_inspect.output import print_lines


def connect(
    context: typer.Context,
    backend: Annotated[
        str,
        typer.Option(help="Address of the backend as Label Studio reaches it, for example http://10.0.0.5:9090."),
    ],
    project: Annotated[int | None, typer.Option(help="Id of the project.")] = None,
    example: Annotated[
        bool, typer.Option("--example", help="A project with twelve images instead; it is made the first time.")
    ] = False,
    label_studio: LabelStudioOption = None,
    token: TokenOption = None,
) -> None:
    """Connect a backend to a project: as its model for clicks, and with a webhook that gives the backend's password.

    Instead of the model that is connected, if there is one. The password is
    that of SAM_INSPECT_BASIC_AUTH_USER and SAM_INSPECT_BASIC_AUTH_PASS; Label
    Studio itself gives none to the webhook, from which the backend learns.
    The backend must run. Label Studio's address and a token are needed
    the first time; on the backend's machine, its home then knows those of
    the project.

    Example: sam-inspect connect --backend http://10.0.0.5:9090 --project 3
    Example: sam-inspect connect --backend http://10.0.0.5:9090 --example
    """
    from sam_backend.demo.connect import connect_project

    settings = with_label_studio(settings_of(context), label_studio, token)
    with progress_bars() as add_bar:
        progress = add_bar("Connecting")
        connected, url = connect_project(settings, backend, project=project, example=example, progress=progress)
    print_lines(f"{backend} is the model of project {connected} in Label Studio at {url}.")
