"""The command `train-proposer`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sam_backend.extras import require_training
from sam_inspect.options import DataOption, LimitOption, ModelOption, ProjectOption, settings_of
from sam_inspect.output import print_lines
from sam_inspect.project_parts import choose_source, open_part_run

if TYPE_CHECKING:
    from sam_backend.finetune.part_training import PartOutcome
    from sam_backend.labelstudio.projects import KnownProject
    from sam_backend.proposer.training import ProposerRecipe
    from sam_backend.settings import Settings
    from sam_evaluation.datasets.registry import DatasetSpec


def train_proposer(
    context: typer.Context,
    project: ProjectOption = None,
    data: DataOption = None,
    model: ModelOption = None,
    minutes: Annotated[
        float,
        typer.Option(min=0.1, max=1_440.0, help="Most minutes of computing, on one core; a busy machine takes longer."),
    ] = 8.0,
    limit: LimitOption = None,
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
    from sam_backend.proposer.training import ProposerRecipe

    settings = settings_of(context)
    source = choose_source(settings, project, data)
    recipe = ProposerRecipe(minutes=minutes)
    print_lines(train_on(settings, source, model or settings.model, recipe, limit).sentence)


def train_on(
    settings: Settings,
    source: KnownProject | DatasetSpec,
    model: str,
    recipe: ProposerRecipe,
    limit: int | None = None,
) -> PartOutcome:
    """Train the proposer of a project or a data set, with a progress bar.

    Raises
    ------
    SamInspectError
        If there are too few images, or they cannot be read or fetched.
    """
    from sam_backend.core.model_loading import load_model
    from sam_backend.finetune.tunable_models import require_features
    from sam_backend.finetune.versions import VERSIONS, Versions
    from sam_backend.proposer.job import ProposerJob
    from sam_backend.proposer.job import train_proposer as train
    from sam_backend.proposer.manifest import PROPOSER
    from sam_evaluation.proposal_gate import ProposalGate

    require_features(model)
    versions = Versions(settings.home / VERSIONS)
    with open_part_run(settings, source, PROPOSER, "Training the proposer") as part:
        # A service beside it needs the other cores.
        segmenter = load_model(settings, model, None, threads=1)
        gate = ProposalGate(segmenter)
        return train(
            ProposerJob(part.source, part.model, part.data, recipe, gate, segmenter, limit), part.run, versions
        )
