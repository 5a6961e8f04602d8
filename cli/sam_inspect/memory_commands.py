"""The commands `memory`, with what is below it, `preannotate` and `rank`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sam_evaluation.report.numbers import count
from sam_inspect.bars import AddBar, progress_bars
from sam_inspect.options import ClusterOption, ModelOption, PipelineOption, settings_of
from sam_inspect.output import print_lines, print_table

if TYPE_CHECKING:
    from sam_backend.core.project_work import ProjectWork

memory = typer.Typer(help="The examples of a project, which pre-annotation follows.", no_args_is_help=True)

ProjectOption = Annotated[str, typer.Option(help="Id of the project in Label Studio.")]
CheckpointOption = Annotated[
    Path | None, typer.Option(help="The weights of the model, as in serve; by default those that were promoted last.")
]


@memory.command()
def rebuild(
    context: typer.Context, project: ProjectOption, model: ModelOption = None, checkpoint: CheckpointOption = None
) -> None:
    """Rebuild the memory from all annotations that Label Studio holds.

    The result is the same as if every webhook had come. It is needed after a
    time in which the backend did not run, or did not hear of the project.

    Example: sam-inspect memory rebuild --project 3
    """
    with opened_project(context, project, model, checkpoint) as (work, add_bar):
        work.gather(add_bar("Reading tasks"))
        work.learn(add_bar("Encoding images"))
        summary = work.summary()
    print_lines(summary)


@memory.command()
def show(
    context: typer.Context, project: ProjectOption, model: ModelOption = None, checkpoint: CheckpointOption = None
) -> None:
    """Show the examples of a project: how many of each class, and which annotations are left out and why.

    Example: sam-inspect memory show --project 3
    """
    with opened_project(context, project, model, checkpoint) as (work, _):
        print_table(("Class", "Images"), ((label, str(images)) for label, images in work.classes()))
        print_lines(*work.problems(), work.summary())


@memory.command()
def forget(context: typer.Context, project: ProjectOption) -> None:
    """Forget all examples of a project; Label Studio's annotations stay as they are.

    Example: sam-inspect memory forget --project 3
    """
    from sam_backend.core.project_work import forget as forget_project

    for uid in forget_project(settings_of(context), project):
        print_lines(f"Project {uid} has no examples any more.")


def preannotate(
    context: typer.Context,
    project: ProjectOption,
    pipeline: PipelineOption = None,
    model: ModelOption = None,
    checkpoint: CheckpointOption = None,
    cluster: ClusterOption = None,
) -> None:
    """Give every unlabelled task a prediction made with the project's examples, or by a pipeline.

    A prediction of the same model is replaced; those of others stay. With
    --cluster many machines propose, with the same results; this one reads the
    images and writes the predictions.

    Example: sam-inspect preannotate --project 3
    Example: sam-inspect preannotate --project 3 --pipeline defects.toml
    Example: sam-inspect preannotate --project 3 --cluster ray://head:10001
    """
    from sam_backend.cluster.connection import open_workers
    from sam_backend.segmenters.model_registry import model_info

    settings = settings_of(context)
    info = model_info(model or settings.model)
    with (
        open_workers(cluster, [info], settings) as workers,
        opened_project(context, project, model, checkpoint, pipeline) as (work, add_bar),
    ):
        work.learn(add_bar("Encoding examples"))
        done = work.pre_annotate(add_bar("Pre-annotating"), workers)
    print_lines(
        f"{count(done.written, 'task has', 'tasks have')} a prediction, with {count(done.regions, 'mask')} in all; "
        f"{done.failed} had no image.",
        *(
            f"{count(number, 'mask')} with the label {label} {'is' if number == 1 else 'are'} left out: the labeling "
            "config has no such label."
            for label, number in done.unknown.items()
        ),
    )


def rank(
    context: typer.Context,
    project: ProjectOption,
    strategy: Annotated[
        str, typer.Option(help="How to order: gain (uncertain and unlike the rest), uncertainty, diversity, random.")
    ] = "gain",
    queue: Annotated[
        bool, typer.Option("--queue", help="Let the project's queue, Label All Tasks, follow the order as well.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same order.")] = 0,
    model: ModelOption = None,
    checkpoint: CheckpointOption = None,
) -> None:
    """Order the unlabelled tasks by what a model would learn from them.

    Each gets a prediction made with the project's examples; without examples,
    it keeps the one that it has, or gets masks of everything. The score of the
    prediction is the task's place: the lower, the sooner. In Label Studio's
    Data Manager, order by prediction score, ascending.

    Example: sam-inspect rank --project 3
    Example: sam-inspect rank --project 3 --strategy random --queue
    """
    from sam_backend.memory.ranking.strategies import find_strategy

    chosen = find_strategy(strategy)
    with opened_project(context, project, model, checkpoint) as (work, add_bar):
        work.learn(add_bar("Encoding examples"))
        ranked = work.rank(chosen, seed, add_bar("Encoding tasks"), add_bar("Writing scores"))
        if queue:
            work.queue_by_score()
    rows = (
        (
            str(place),
            str(task),
            *(f"{value:.2f}" for value in (signals.doubt, signals.instability, signals.disagreement)),
        )
        for place, (task, signals) in enumerate(ranked[:10], 1)
    )
    print_table(("Place", "Task", "Doubt", "Instability", "Disagreement"), rows)
    print_lines(f"{count(len(ranked), 'task is', 'tasks are')} ordered{', and so is the queue' if queue else ''}.")


@contextmanager
def opened_project(
    context: typer.Context, project: str, model: str | None, checkpoint: Path | None, pipeline: Path | None = None
) -> Iterator[tuple[ProjectWork, AddBar]]:
    """Open a project's memory, together with progress bars."""
    from sam_backend.core.project_work import ProjectWork

    settings = settings_of(context)
    if pipeline:
        settings = settings.model_copy(update={"pipeline": pipeline})
    with (
        ProjectWork.open(settings, project, model or settings.model, checkpoint) as work,
        progress_bars() as add_bar,
    ):
        yield work, add_bar
