"""The commands `models`, with what is below it, and `download`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from sam_backend.errors import BadRequestError
from sam_backend.finetune.os_errors import os_errors_as_sentences
from sam_inspect.options import settings_of
from sam_inspect.output import print_lines, print_table

if TYPE_CHECKING:
    from sam_backend.finetune.versions import Versions
    from sam_backend.segmenters.model_info import ModelInfo, WeightFolders


class _Models(TyperGroup):
    """`models`, where the words after `--measure` are names of models instead of a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--measure" in args:
            args = [part for word in args for part in ([word] if word.startswith("-") else ["--name", word])]
        rest: list[str] = super().parse_args(ctx, args)
        return rest


models = typer.Typer(cls=_Models, invoke_without_command=True)


@models.callback()
def _models(
    context: typer.Context,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Measure memory and clicks of the models that are named after it, or of all."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was measured as JSON.")] = False,
    name: Annotated[list[str] | None, typer.Option("--name", hidden=True)] = None,
) -> None:
    """Show the models there are, and which tuned versions of them exist; or measure what they cost here.

    Each model is measured in a process of its own. One whose weights are not
    here gets random ones, which cost the same.

    Example: sam-inspect models --measure nano sam2.1:small
    """
    if context.invoked_subcommand is not None:
        return
    if as_json and not measure:
        raise BadRequestError("--json prints what --measure measured; give both.")
    if measure:
        from sam_backend.segmenters.model_info import WeightFolders
        from sam_inspect.measured_models import measure_models

        measure_models(name or [], WeightFolders.of_settings(settings_of(context)), as_json=as_json)
    else:
        _list(context)


def _list(context: typer.Context) -> None:
    from sam_backend.segmenters.model_info import WeightFolders
    from sam_backend.segmenters.model_registry import known_models
    from sam_backend.segmenters.onnx_sessions import execution_providers

    folders = WeightFolders.of_settings(settings_of(context))
    rows = ((info.name, info.description, info.licence, _weights(info, folders)) for info in known_models())
    print_table(("Model", "What it is", "Licence", "Weights"), rows)
    print_lines("", f"onnxruntime offers {', '.join(execution_providers())}; it computes on the first that works.")
    versions = _versions(context)
    made = versions.all()
    serving = {model: versions.serving(model) for model in dict.fromkeys(version.model for version in made)}
    for version in made:
        serves = ", serves" if serving[version.model].name == version.name else ""
        print_lines(
            "",
            f"{version.name} of {version.created}, tuned from {version.parent}{serves}",
            f"  on {version.data}",
            f"  {'passed' if version.passed else 'not passed'}: {version.reason}",
        )
    problems = [*(found.problem for found in serving.values()), *map(versions.damage, made), *versions.problems()]
    for problem in dict.fromkeys(filter(None, problems)):
        print_lines("", f"Problem: {problem}")


def _weights(info: ModelInfo, folders: WeightFolders) -> str:
    """Return where the weights of a model are, or how to get them and what it needs besides."""
    from sam_backend.segmenters.hub import find_weights

    if not info.weights:
        lines = ["nothing to download"]
    elif None in (paths := [find_weights(published, folders) for published in info.weights]):
        lines = [f"{sum(published.size for published in info.weights) / 1e6:,.0f} MB: sam-inspect download {info.name}"]
    else:
        lines = [str(path) for path in paths]
    if info.missing_packages:
        lines.append(f"needs {info.install}")
    return "\n".join(lines)


@models.command()
def promote(
    context: typer.Context,
    version: Annotated[str, typer.Argument(help="A version that `sam-inspect models` lists, such as nano-0002.")],
) -> None:
    """Let a version serve from now on, whatever the gate said; a running server takes it within seconds.

    The version is checked, loaded and asked one click before.

    Example: sam-inspect models promote nano-0002
    """
    from sam_backend.finetune.refiner.names import REFINER
    from sam_backend.finetune.served_version import promote as promote_checked
    from sam_backend.finetune.version_record import read_record
    from sam_backend.finetune.versions import SHIPPED
    from sam_backend.proposer.manifest import PROPOSER
    from sam_backend.proposer.trained import TrainedProposer
    from sam_backend.segmenters.model_info import WeightFolders
    from sam_backend.segmenters.model_registry import load_segmenter
    from sam_backend.segmenters.refiner.refiner import Refiner

    settings, versions = settings_of(context), _versions(context)
    folders = WeightFolders.of_settings(settings)
    if version == SHIPPED:
        raise BadRequestError("What ships has no version; go back to it with sam-inspect models rollback.")
    with os_errors_as_sentences():
        model = read_record(versions.folder_of(version)).model
        if model.startswith(PROPOSER):
            TrainedProposer(versions.verified(version), threads=1)
            before = versions.promote(version)
        elif model.startswith(REFINER):
            Refiner(versions.verified(version))
            before = versions.promote(version)
        else:
            before = promote_checked(
                versions, version, lambda folder: load_segmenter(model, folder, focus=settings.focus, folders=folders)
            )
    print_lines(f"{version} serves now, instead of {before}.")


@models.command()
def rollback(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Option(
            help="The model, or what was trained for a project: proposer:<project> or refiner:<project>, as the names "
            "of their versions begin. Default: SAM_INSPECT_MODEL, or nano."
        ),
    ] = None,
) -> None:
    """Let the version serve again that served before the last promotion.

    Example: sam-inspect models rollback
    Example: sam-inspect models rollback --model proposer:3.1795411201
    """
    from sam_backend.finetune.version_record import folder_name
    from sam_backend.names import did_you_mean
    from sam_backend.segmenters.model_registry import known_models

    model, versions = model or settings_of(context).model, _versions(context)
    known = dict.fromkeys([*(info.name for info in known_models()), *(version.model for version in versions.all())])
    if folder_name(model) not in map(folder_name, known):
        raise BadRequestError(
            f"There is no model {model!r}; the known ones are {', '.join(known)}{did_you_mean(model, known)}"
        )
    with os_errors_as_sentences():
        left, now = versions.roll_back(model)
    print_lines(f"{now} serves {model} again, instead of {left}.")


def _versions(context: typer.Context) -> Versions:
    from sam_backend.finetune.versions import VERSIONS, Versions

    return Versions(settings_of(context).home / VERSIONS)


def download(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(
            help="A model that `sam-inspect models` lists, such as sam:vit_b. Default: SAM_INSPECT_MODEL, or nano."
        ),
    ] = None,
    accept_licence: Annotated[
        bool,
        typer.Option("--accept-licence", help="For a model with a licence of its own: you have read and accept it."),
    ] = False,
) -> None:
    """Download a model's weights, check them, and print where they are.

    A download that broke off goes on where it stopped. Weights that are here
    already, in the folder SAM_INSPECT_WEIGHTS or in the cache, are checked and
    not downloaded again.

    Example: sam-inspect download sam:vit_b
    Example: sam-inspect download sam3 --accept-licence
    """
    from sam_backend.segmenters.hub import obtain_weights
    from sam_backend.segmenters.model_info import WeightFolders
    from sam_backend.segmenters.model_registry import model_info

    settings = settings_of(context)
    info, folders = model_info(model or settings.model), WeightFolders.of_settings(settings)
    if not info.weights:
        print_lines(f"{info.name} needs no download.")
    for published in info.weights:
        print_lines(str(obtain_weights(published, folders, accept_licence=accept_licence)))
