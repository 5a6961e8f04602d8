"""Options that several commands have, and the settings that hold where an option is left out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sam_backend.second_look import Focus
from sam_backend.stores import place

if TYPE_CHECKING:
    from sam_backend.settings import Settings

LABEL_STUDIO, MODELS, EVALUATION = "Label Studio", "Models", "Evaluation"
"""The panels of `sam-inspect --help`."""

ANY_FOLDER = {"parser": place, "metavar": "FOLDER|ADDRESS"}
"""How an option takes a folder of this machine, or one on a store by its address."""

ModelOption = Annotated[
    str | None,
    typer.Option(
        help="The model: nano (ships with the package), sam:vit_b, sam:vit_l, sam:vit_h, grabcut; sam-inspect models "
        "lists them. Default: SAM_INSPECT_MODEL, or nano."
    ),
]
FocusOption = Annotated[
    Focus | None,
    typer.Option(
        help="When the model takes a second look, at a crop around a small object: auto (where it was measured to "
        "help), on, off. Default: SAM_INSPECT_FOCUS, or auto."
    ),
]
ProjectOption = Annotated[
    str | None,
    typer.Option(help="Id of a Label Studio project that this backend is, or was, connected to."),
]
DataOption = Annotated[
    str | None, typer.Option(help="A data set instead, as format:folder or format:folder@split, as in evaluate.")
]
LimitOption = Annotated[int | None, typer.Option(min=1, help="About this many images, evenly spread.")]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        help="Compute on a Ray cluster: ray://host:10001; host:6379, of which this machine is a part; or auto, the one "
        "of RAY_ADDRESS or of this machine, else all cores of this machine. Its machines need sam-inspect of this "
        "version.",
        metavar="ADDRESS",
    ),
]
PipelineOption = Annotated[
    Path | None,
    typer.Option(
        help="TOML file of a pipeline, whose steps propose the masks; sam-inspect steps lists them. Default: "
        "SAM_INSPECT_PIPELINE, or the project's examples.",
        metavar="FILE",
    ),
]
LabelStudioOption = Annotated[
    str | None,
    typer.Option(help="Address of Label Studio. Default: SAM_INSPECT_LABEL_STUDIO_URL, or that of the project."),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        help="A personal access or legacy token. Default: SAM_INSPECT_LABEL_STUDIO_API_KEY, which other users of this "
        "machine cannot see."
    ),
]
RequirementsOption = Annotated[
    Path | None,
    typer.Option(help="TOML file with the requirements of a line for each object; the report shows what fails."),
]


def settings_of(context: typer.Context) -> Settings:
    """Return the settings of this call: environment, settings file, defaults.

    Raises
    ------
    SamInspectError
        If a setting is wrong.
    """
    from sam_backend.settings import read_settings

    return read_settings(context.obj)


def with_label_studio(settings: Settings, url: str | None, token: str | None) -> Settings:
    """Return the settings with the address and the token that were given as options."""
    from pydantic import SecretStr

    given = {"label_studio_url": url, "label_studio_api_key": SecretStr(token) if token else None}
    return settings.model_copy(update={name: value for name, value in given.items() if value})


def given_options(context: typer.Context) -> list[str]:
    """Return the names of the options that the user gave."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
