"""The command `finetune`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.extras import require_training
from sam_backend.finetune.tuning_recipe import Parts
from sam_inspect.bars import progress_bars
from sam_inspect.options import DataOption, LimitOption, ModelOption, ProjectOption, RequirementsOption, settings_of
from sam_inspect.output import print_error, print_lines
from sam_inspect.project_parts import fetch_project
from sam_inspect.train_proposer import train_on
from sam_inspect.tune_refiner import tune_on

if TYPE_CHECKING:
    from sam_backend.labelstudio.projects import KnownProject
    from sam_backend.settings import Settings


def finetune(
    context: typer.Context,
    project: ProjectOption = None,
    data: DataOption = None,
    model: ModelOption = None,
    parts: Annotated[
        Parts | None,
        typer.Option(
            help="What is trained: decoder; lora, which adds adapters in the image encoder; all. Default: all for "
            "nano, decoder for sam:*."
        ),
    ] = None,
    requirements: RequirementsOption = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Maximum length of the training; the learning rates follow it.")
    ] = None,
    limit: LimitOption = None,
    proposer: Annotated[
        bool, typer.Option("--proposer", help="Before that, train what proposes masks in the project: train-proposer.")
    ] = False,
    refiner: Annotated[
        bool, typer.Option("--refiner", help="After that, tune what corrects masks in the project: tune-refiner.")
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            min=0, help="The same seed, images and start give the same weights, on the CPU of the same machine."
        ),
    ] = 0,
) -> None:
    """Teach a model what was accepted, and let it serve if it got better.

    About two thirds of the images train, a tenth decides when to stop, and a
    quarter is held out. On those the new weights must beat the weights that
    serve, by more than their uncertainty. Then they serve at once, and Label
    Studio shows their version. Otherwise they are kept, with the reason: see
    sam-inspect models. A training that was interrupted goes on when it is
    started again. It needs the torch extra of the package.

    Example: sam-inspect finetune --project 3
    Example: sam-inspect finetune --data neu_seg:./neu_seg@training
             --requirements line.toml
    """
    require_training("finetune")
    import hashlib
    from dataclasses import replace

    from sam_backend.finetune.training_status import TrainingStatus
    from sam_backend.finetune.tunable_models import require_tunable
    from sam_backend.finetune.tuning_recipe import recipe_for
    from sam_backend.finetune.version_record import folder_name
    from sam_backend.finetune.versions import VERSIONS, Versions
    from sam_backend.labelstudio.accepted import EXPORT
    from sam_backend.labelstudio.projects import find_project
    from sam_backend.labelstudio.servers import ServerRegistry
    from sam_backend.segmenters import WeightFolders
    from sam_evaluation.datasets.registry import DatasetSpec
    from sam_evaluation.left_out import CountedDataset
    from sam_evaluation.promotion_gate import PromotionGate
    from sam_evaluation.requirements import read_requirements

    if (project is None) == (data is None):
        raise BadRequestError("Name what to learn from: either --project or --data.")
    if data is not None and (proposer or refiner):
        raise BadRequestError(
            "--proposer and --refiner go with --project; for a data set, run sam-inspect train-proposer --data or "
            "sam-inspect tune-refiner --data."
        )
    settings = settings_of(context)
    model = model or settings.model
    require_tunable(model)
    needed = read_requirements(requirements) if requirements else None
    recipe = recipe_for(model)
    recipe = replace(recipe, parts=parts or recipe.parts, steps=steps or recipe.steps, seed=seed)
    from sam_backend.finetune.training_run import open_run
    from sam_backend.finetune.tuning_job import TuningJob, tune

    versions = Versions(settings.home / VERSIONS)
    with progress_bars() as add_bar:
        progress = add_bar("Fine-tuning")

        def show(status: TrainingStatus) -> None:
            ious = "" if status.box is None else f"  box {status.box:.3f}  click {status.click:.3f}"
            progress(status.step, status.steps, status.doing + ious)

        known = None
        if data is not None:
            spec = DatasetSpec.parse(data)
            name = hashlib.sha256(f"{spec.format}:{spec.folder.resolve()}@{spec.split}".encode()).hexdigest()[:8]
        else:
            known = find_project(ServerRegistry.of_settings(settings), str(project))
            name = f"project-{known.uid}"
            spec = DatasetSpec("label_studio", settings.home / "finetune" / name / EXPORT)
        work = settings.home / "finetune" / f"{folder_name(model)}-{name}"
        described = f"{spec.format}:{spec.folder}" + (f"@{spec.split}" if spec.split else "")
        gate, folders = PromotionGate(needed), WeightFolders.of_settings(settings)
        if known and proposer:
            _train_proposer(settings, known, model)
        with open_run(work, described, model, show) as run:
            if known:
                run.show(doing="Fetching the project")
                fetch_project(settings, known, spec, progress)
            source = CountedDataset(spec.open(), described)
            job = TuningJob(source, described, model, recipe, gate, limit, settings.focus, folders)
            try:
                outcome = tune(job, run, versions)
            finally:
                print_lines(*source.sentences())
    print_lines(outcome.ended, outcome.verdict.reason)
    if outcome.version is not None:
        state = (
            "now serves" if outcome.verdict.passed else "is kept beside; the model that serves is the same as before"
        )
        print_lines(
            f"{outcome.version.name} ({outcome.version.model_version}) {state}.",
            f"Its curves: {versions.folder_of(outcome.version.name) / 'curves.png'}",
        )
    if known and refiner:
        _tune_refiner(settings, known, model)


def _train_proposer(settings: Settings, known: KnownProject, model: str) -> None:
    """Train what proposes masks; if that is not possible, the fine-tuning need not wait for it."""
    from sam_backend.proposer.training import ProposerRecipe

    try:
        print_lines(train_on(settings, known, model, ProposerRecipe()).sentence)
    except SamInspectError as error:
        print_error(error)


def _tune_refiner(settings: Settings, known: KnownProject, model: str) -> None:
    """Tune what corrects masks; what the fine-tuning made stays, if that is not possible."""
    from sam_backend.finetune.refiner.head_recipe import HeadRecipe

    try:
        print_lines(tune_on(settings, known, model, HeadRecipe()).sentence)
    except SamInspectError as error:
        print_error(error)
