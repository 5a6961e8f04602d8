"""The command `train-proposer`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sam_backend.errors import BadRequestError
from sam_backend.extras import require_training
from sam_inspect.bars import progress_bars
from sam_inspect.options import ModelOption, settings_of
from sam_inspect.output import print_lines

if TYPE_CHECKING:
    from sam_backend.labelstudio.projects import KnownProject
    from sam_backend.progress import ProgressCallback
    from sam_backend.proposer.job import ProposerOutcome
    from sam_backend.proposer.training import ProposerRecipe
    from sam_backend.settings import Settings
    from sam_evaluation.datasets.registry import DatasetSpec


def train_proposer(
    context: typer.Context,
    project: Annotated[
        str | None,
        typer.Option(help="Id of a Label Studio project that this backend is, or was, connected to."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="A data set instead, as format:folder or format:folder@split, as in evaluate.")
    ] = None,
    model: ModelOption = None,
    minutes: Annotated[
        float, typer.Option(min=0.1, help="Most minutes of computing, on one core; a busy machine takes longer.")
    ] = 8.0,
    limit: Annotated[int | None, typer.Option(min=1, help="About this many images, evenly spread.")] = None,
) -> None:
    """Train what proposes masks on the accepted images of a project.

    It goes on from the last training of the same project. A quarter of the
    images is held out; on these its proposals must be better than those that
    the project gets now, of the memory or of an earlier training, by more
    than their uncertainty. Then they serve at once. A server does this by
    itself after each 25 new images (SAM_INSPECT_PROPOSER_EVERY). It needs the
    torch extra of the package.

    Example: sam-inspect train-proposer --project 3
    """
    require_training("train-proposer")
    from sam_backend.labelstudio.projects import find_project
    from sam_backend.labelstudio.servers import ServerRegistry
    from sam_backend.proposer.training import ProposerRecipe
    from sam_evaluation.datasets.registry import DatasetSpec

    if (project is None) == (data is None):
        raise BadRequestError("Name what to learn from: either --project or --data.")
    settings = settings_of(context)
    source: KnownProject | DatasetSpec = (
        DatasetSpec.parse(data)
        if data is not None
        else find_project(ServerRegistry.of_settings(settings), str(project))
    )
    recipe = ProposerRecipe(minutes=minutes)
    report_outcome(train_on(settings, source, model or settings.model, recipe, limit))


def report_outcome(outcome: ProposerOutcome) -> None:
    """Print what came of a training."""
    what = f"{outcome.version.name} proposes masks now." if outcome.version else "What proposed before goes on."
    print_lines(outcome.verdict.reason, what)


def train_on(
    settings: Settings,
    source: KnownProject | DatasetSpec,
    model: str,
    recipe: ProposerRecipe,
    limit: int | None = None,
) -> ProposerOutcome:
    """Train the proposer of a project or a data set, with a progress bar.

    Raises
    ------
    SamInspectError
        If there are too few images, or they cannot be read or fetched.
    """
    import hashlib

    from sam_backend.core.proposers import proposer_of, work_folder
    from sam_backend.finetune.served_version import LoadWeights, load_served
    from sam_backend.finetune.training_run import open_run
    from sam_backend.finetune.training_status import TRAININGS, TrainingStatus
    from sam_backend.finetune.versions import VERSIONS, Versions
    from sam_backend.labelstudio.accepted import EXPORT
    from sam_backend.labelstudio.servers import ServerRegistry
    from sam_backend.memory.memories import Memories
    from sam_backend.proposer.job import ProposerJob
    from sam_backend.proposer.job import train_proposer as train
    from sam_backend.proposer.manifest import PROPOSER
    from sam_backend.segmenters import WeightFolders
    from sam_backend.segmenters.model_registry import load_segmenter
    from sam_evaluation.datasets.registry import DatasetSpec
    from sam_evaluation.left_out import CountedDataset
    from sam_evaluation.proposal_gate import ProposalGate

    if isinstance(source, DatasetSpec):
        spec, known = source, None
        name = hashlib.sha256(f"{spec.format}:{spec.folder.resolve()}@{spec.split}".encode()).hexdigest()[:8]
        proposer = f"{PROPOSER}data-{name}"
    else:
        known = source
        spec = DatasetSpec("label_studio", settings.home / TRAININGS / f"project-{known.uid}" / EXPORT)
        proposer = proposer_of(Memories(settings.home, ServerRegistry.of_settings(settings)).of(known.uid))
    described = f"{spec.format}:{spec.folder}" + (f"@{spec.split}" if spec.split else "")
    versions, folders = Versions(settings.home / VERSIONS), WeightFolders.of_settings(settings)
    load: LoadWeights = lambda weights: load_segmenter(  # noqa: E731
        model, weights, threads=1, focus=settings.focus, folders=folders
    )
    with progress_bars() as add_bar:
        progress = add_bar("Training the proposer")

        def show(status: TrainingStatus) -> None:
            progress(status.step, status.steps, status.doing)

        with open_run(work_folder(settings.home, proposer), described, proposer, show) as run:
            if known:
                run.show(doing="Fetching the project")
                fetch_project(settings, known, spec, progress)
            segmenter = load_served(versions, model, load).segmenter
            counted = CountedDataset(spec.open(), described)
            job = ProposerJob(counted, proposer, described, recipe, ProposalGate(segmenter), segmenter, limit)
            try:
                return train(job, run, versions)
            finally:
                print_lines(*counted.sentences())


def fetch_project(settings: Settings, known: KnownProject, spec: DatasetSpec, progress: ProgressCallback) -> None:
    """Fetch the accepted masks of a Label Studio project into the folder of a data set."""
    from sam_backend.labelstudio.accepted import fetch_accepted
    from sam_backend.labelstudio.images import TaskImages

    fetch_accepted(
        known.server,
        known.id,
        spec.folder.parent,
        TaskImages.of_settings(settings),
        timeout=settings.image_timeout,
        progress=progress,
    )
