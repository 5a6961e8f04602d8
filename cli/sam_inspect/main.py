"""The command `sam-inspect`, assembled from its groups."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

from sam_backend.errors import BadRequestError, SamInspectError, StoreError
from sam_backend.finetune.os_errors import os_error_sentence
from sam_backend.stores import address_of, is_collapsed_address
from sam_inspect import (
    config_command,
    connect,
    convert,
    demo,
    doctor,
    evaluation,
    everything,
    export,
    export_model,
    finetune,
    gap,
    import_labels,
    memory_commands,
    model_commands,
    pipeline_commands,
    serve,
    signal_commands,
    simulate,
    track,
    train_proposer,
    tune_refiner,
    warm,
)
from sam_inspect.options import EVALUATION, LABEL_STUDIO, MODELS
from sam_inspect.output import print_error, print_lines

app = typer.Typer(
    name="sam-inspect",
    help="Masks for Label Studio from the Segment Anything Model, made for industrial images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print_lines(version("sam-inspect"))
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    settings: Annotated[
        Path | None,
        typer.Option(
            help="The settings file (TOML). Default: SAM_INSPECT_SETTINGS, or sam-inspect.toml in this folder, or in "
            "the user's configuration folder. Options and SAM_INSPECT_* variables win over it.",
            metavar="FILE",
        ),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    context.obj = settings
    if settings:
        from sam_backend.settings import FILE_VARIABLE

        # Readers of data sets, and workers that are started, look for it there.
        os.environ[FILE_VARIABLE] = os.path.abspath(settings)


_COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    LABEL_STUDIO: (
        serve.serve,
        demo.demo,
        doctor.doctor,
        config_command.config,
        connect.connect,
        warm.warm,
        memory_commands.preannotate,
        pipeline_commands.steps,
        convert.convert,
        export.export,
        everything.everything,
        memory_commands.rank,
        track.track,
        track.count,
    ),
    MODELS: (
        model_commands.download,
        export_model.export_model,
        finetune.finetune,
        train_proposer.train_proposer,
        tune_refiner.tune_refiner,
    ),
    EVALUATION: (
        evaluation.evaluate,
        gap.gap,
        evaluation.report,
        evaluation.compare,
        evaluation.gate,
        simulate.simulate,
    ),
}


class _Command(TyperCommand):
    """A command that refuses the address of a store in options for files of this machine."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # typer's own context
        for name, value in ctx.params.items():
            for path in value if isinstance(value, list) else [value]:
                if isinstance(path, Path) and is_collapsed_address(path):
                    option = next(parameter.opts[-1] for parameter in self.params if parameter.name == name)
                    raise BadRequestError(
                        f"{option} takes a file or a folder of this machine, not the address {address_of(path)} of a "
                        "store."
                    )
        return super().invoke(ctx)


for panel, commands in _COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
# The name is a word of Python.
app.command("import", rich_help_panel=LABEL_STUDIO)(import_labels.import_labels)
app.add_typer(memory_commands.memory, name="memory", rich_help_panel=LABEL_STUDIO)
app.add_typer(signal_commands.signal, name="signal", rich_help_panel=LABEL_STUDIO)
app.add_typer(model_commands.models, name="models", rich_help_panel=MODELS)
for group in (app, *(added.typer_instance for added in app.registered_groups)):
    for added_command in group.registered_commands if group else ():
        added_command.cls = _Command


def main() -> None:
    """Run the command line; a mistake of a user, or a file that cannot be used, is one sentence and exit code 1."""
    try:
        app()
    except (SamInspectError, StoreError, OSError) as error:
        print_error(SamInspectError(os_error_sentence(error)) if isinstance(error, OSError) else error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
