"""The commands `finetune` and `models`: they only translate; the work is elsewhere."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from sam_backend.errors import BadRequestError, MissingExtraError
from sam_backend.extras import EVALUATION, require
from sam_backend.finetune.recipe import Parts, recipe_for
from sam_backend.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from sam_backend.finetune.versions import Versions
    from sam_evaluation.datasets.registry import DatasetSpec

models = typer.Typer(help="Show the models there are, and which tuned versions of them.", invoke_without_command=True)


def finetune(
    project: Annotated[
        str | None,
        typer.Option(help="Id of a Label Studio project that this backend is, or was, connected to."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="A data set instead, as format:folder or format:folder@split, as in evaluate.")
    ] = None,
    model: Annotated[str, typer.Option(help="The model to tune: nano, sam:vit_b, sam:vit_l, sam:vit_h.")] = "nano",
    parts: Annotated[
        Parts | None,
        typer.Option(
            help="What is trained: decoder; lora, adapters in the image encoder as well; all. Default: all for nano, "
            "decoder for sam:*."
        ),
    ] = None,
    requirements: Annotated[
        Path | None, typer.Option(help="TOML file of what a line needs of each object; nothing in it may get worse.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Length of the training at most; the rates follow it.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="About this many images, evenly spread.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed, images and start give the same weights.")] = 0,
) -> None:
    """Teach a model what was accepted, and let it serve if it got better.

    About two thirds of the images train, a tenth decides when to stop, and a
    quarter is held out. On those the new weights must beat the ones that
    serve, by more than their uncertainty; then they serve at once, and Label
    Studio shows their version. Else they are kept beside, with the reason:
    see sam-inspect models. Interrupted and started again, it goes on. It needs
    the torch extra of the package.

    Example: sam-inspect finetune --project 3
    Example: sam-inspect finetune --data neu_seg:./neu_seg@training
             --requirements line.toml
    """
    require("evaluation", EVALUATION, "sam-inspect finetune")
    from sam_backend.finetune.progress import Progress as Reached
    from sam_backend.segmenters.entries import TORCH_EXTRA
    from sam_evaluation.datasets.registry import DatasetSpec
    from sam_evaluation.requirements import read_requirements

    if (project is None) == (data is None):
        raise BadRequestError("Name what to learn from: either --project or --data.")
    needed = read_requirements(requirements) if requirements else None
    recipe = recipe_for(model)
    recipe = replace(recipe, parts=parts or recipe.parts, steps=steps or recipe.steps, seed=seed)
    try:
        from sam_backend.finetune.run import Job
        from sam_backend.finetune.run import finetune as run
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"Fine-tuning needs {error.name}; run {TORCH_EXTRA}") from error
    console = Console()
    with _bar() as bar:
        task = bar.add_task("Starting", total=None)

        def tell(reached: Reached) -> None:
            ious = "" if reached.box is None else f"  box {reached.box:.3f}  click {reached.click:.3f}"
            left = "" if reached.seconds_left is None else f"  {reached.seconds_left / 60:.0f} min left"
            bar.update(
                task, completed=reached.step, total=reached.steps or None, description=reached.doing + ious + left
            )

        if project is not None:
            spec, name = _fetch(project, lambda done, total: bar.update(task, completed=done, total=total))
        else:
            assert data is not None
            spec = DatasetSpec.parse(data)
            name = hashlib.sha256(f"{spec.format}:{spec.folder.resolve()}@{spec.split}".encode()).hexdigest()[:8]
        work = settings().home / "finetune" / f"{model.replace(':', '_')}-{name}"
        job = Job(spec, model, recipe, limit, needed, settings().focus)
        outcome = run(job, work, _versions(), tell)
    lines = [outcome.ended, outcome.verdict.reason]
    if outcome.version is not None:
        state = (
            "now serves" if outcome.verdict.passed else "is kept beside; the model that serves is the same as before"
        )
        lines.append(f"{outcome.version.name} ({outcome.version.model_version}) {state}.")
        lines.append(f"Its curves: {_versions().folder_of(outcome.version.name) / 'curves.png'}")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


@models.callback()
def _list(context: typer.Context) -> None:
    if context.invoked_subcommand is not None:
        return
    from sam_backend.segmenters.listing import models_table

    console = Console()
    console.print(models_table())
    versions = _versions()
    for version in versions.all():
        serves = ", serves" if versions.current(version.model) == version.name else ""
        console.print(f"\n[bold]{version.name}[/bold] of {version.created}, tuned from {version.parent}{serves}")
        for line in (f"on {version.data}", f"{'passed' if version.passed else 'not passed'}: {version.reason}"):
            console.print(Padding(Text(line), (0, 0, 0, 2)))


@models.command()
def promote(
    version: Annotated[str, typer.Argument(help="A version of `sam-inspect models`, such as nano-0002.")],
) -> None:
    """Let a version serve from now on, whatever the gate said; a running server takes it up within seconds.

    Example: sam-inspect models promote nano-0002
    """
    before = _versions().promote(version)
    Console().print(f"{version} serves now, instead of {before}.", highlight=False)


@models.command()
def rollback(model: Annotated[str, typer.Option(help="The model to go back with.")] = "nano") -> None:
    """Let the version serve again that did before the last promotion.

    Example: sam-inspect models rollback
    """
    left, now = _versions().roll_back(model)
    Console().print(f"{now} serves {model} again, instead of {left}.", highlight=False)


def _versions() -> Versions:
    from sam_backend.finetune.versions import VERSIONS, Versions

    return Versions(settings().home / VERSIONS)


def _fetch(project: str, progress: Callable[[int, int], None]) -> tuple[DatasetSpec, str]:
    """Return the accepted masks of a Label Studio project as a data set, and what its folder is called."""
    from sam_backend.labelstudio.accepted import fetch_accepted
    from sam_backend.labelstudio.images import TaskImages
    from sam_backend.labelstudio.servers import ServerRegistry
    from sam_evaluation.datasets.registry import DatasetSpec

    wanted = settings()
    servers = ServerRegistry.of_settings(wanted)
    known = servers.uids(project)
    if len(known) > 1:
        raise BadRequestError(f"Several projects are called {project}; name one of {', '.join(known)}.")
    uid = known[0] if known else project
    server = servers.find(uid)
    number = uid.partition(".")[0]
    if server is None or not server.token or not number.isdigit():
        raise BadRequestError(
            f"No Label Studio with a project {project} is known here; connect it to this backend, or set "
            "SAM_INSPECT_LABEL_STUDIO_URL and SAM_INSPECT_LABEL_STUDIO_API_KEY."
        )
    name = f"project-{uid}"
    export = fetch_accepted(
        server,
        int(number),
        wanted.home / "finetune" / name,
        TaskImages.of_settings(wanted),
        timeout=wanted.image_timeout,
        progress=progress,
    )
    return DatasetSpec("label_studio", export), name


def _bar() -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(TextColumn("{task.description}"), *columns, console=Console(stderr=True))
