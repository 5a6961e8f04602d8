"""The command `tune-refiner`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sam_backend.extras import require_training
from sam_inspect.options import DataOption, LimitOption, ModelOption, ProjectOption, settings_of
from sam_inspect.output import print_lines
from sam_inspect.project_parts import choose_source, open_part_run

if TYPE_CHECKING:
    from sam_backend.finetune.part_training import PartOutcome
    from sam_backend.finetune.refiner.head_recipe import HeadRecipe
    from sam_backend.labelstudio.projects import KnownProject
    from sam_backend.settings import Settings
    from sam_evaluation.datasets.registry import DatasetSpec


def tune_refiner(
    context: typer.Context,
    project: ProjectOption = None,
    data: DataOption = None,
    model: ModelOption = None,
    seconds: Annotated[
        float,
        typer.Option(
            min=1.0, max=86_400.0, help="Most seconds of computing, on one core; a busy machine takes longer."
        ),
    ] = 240.0,
    limit: LimitOption = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed, images and start give the same weights.")] = 0,
) -> None:
    """Teach the refiner, which corrects masks by clicks, what a project accepts.

    It learns from chains of simulated clicks on the accepted masks, which
    begin with what the project's model answers to a click or a box. A quarter
    of the images is held out; on these five clicks, and a box with four
    corrections, must be better than what the project gets now, by more than
    their uncertainty. Then it corrects the masks of this project at once, and
    of no other. Label Studio's Start Training does this too, and a server by
    itself if SAM_INSPECT_REFINER_EVERY says so. It needs the torch extra of
    the package.

    Example: sam-inspect tune-refiner --project 3
    Example: sam-inspect tune-refiner --data neu_seg:./neu_seg@training
             --limit 200
    """
    require_training("tune-refiner")
    from sam_backend.finetune.refiner.head_recipe import HeadRecipe

    settings = settings_of(context)
    source = choose_source(settings, project, data)
    recipe = HeadRecipe.of_seconds(seconds, seed)
    print_lines(tune_on(settings, source, model or settings.model, recipe, limit).sentence)


def tune_on(
    settings: Settings,
    source: KnownProject | DatasetSpec,
    model: str,
    recipe: HeadRecipe,
    limit: int | None = None,
) -> PartOutcome:
    """Tune the refiner of a project or a data set, with a progress bar.

    Raises
    ------
    SamInspectError
        If there are too few images, or they cannot be read or fetched.
    """
    from sam_backend.core.model_loading import load_model
    from sam_backend.finetune.refiner.names import REFINER
    from sam_backend.finetune.refiner.refiner_job import RefinerJob
    from sam_backend.finetune.refiner.refiner_job import tune_refiner as tune
    from sam_backend.finetune.tunable_models import require_refined
    from sam_backend.finetune.versions import VERSIONS, Versions
    from sam_backend.segmenters.correcting import Correcting
    from sam_evaluation.promotion_gate import CORRECTIONS, PromotionGate

    require_refined(model)
    versions = Versions(settings.home / VERSIONS)
    with open_part_run(settings, source, REFINER, "Tuning the refiner") as part:
        # A service beside it needs the other cores.
        segmenter = load_model(settings, model, None, threads=1)
        assert isinstance(segmenter, Correcting)
        gate = PromotionGate(protocols=CORRECTIONS)
        return tune(RefinerJob(part.source, part.model, part.data, recipe, gate, segmenter, limit), part.run, versions)
