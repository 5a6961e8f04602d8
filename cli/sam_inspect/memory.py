"""The commands `memory`, `preannotate` and `rank`: they only translate; the work is elsewhere."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sam_backend.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sam_backend.core.project_work import ProjectWork
    from sam_backend.progress import ProgressCallback

memory = typer.Typer(help="The accepted masks of a project that pre-annotation goes by.", no_args_is_help=True)

ProjectOption = Annotated[str, typer.Option(help="Id of the project in Label Studio.")]
ModelOption = Annotated[str, typer.Option(help="The model that looks at the images, as in serve: nano, sam:vit_b, ...")]
CheckpointOption = Annotated[
    Path | None, typer.Option(help="Where its weights are, as in serve; by default those that were promoted last.")
]


@memory.command()
def rebuild(project: ProjectOption, model: ModelOption = "nano", checkpoint: CheckpointOption = None) -> None:
    """Make the memory anew from all annotations that Label Studio holds.

    The result is the same as if every webhook had come. It is needed after a
    time in which the backend did not run, or did not hear of the project.

    Example: sam-inspect memory rebuild --project 3
    """
    with _working(project, model, checkpoint) as (work, bar):
        work.gather(bar("Reading tasks"))
        work.learn(bar("Looking at images"))
        _say(work.summary())


@memory.command()
def show(project: ProjectOption, model: ModelOption = "nano", checkpoint: CheckpointOption = None) -> None:
    """Show what the memory holds of a project: examples of each class, what was left out and why.

    Example: sam-inspect memory show --project 3
    """
    with _working(project, model, checkpoint) as (work, _):
        table = Table("Class", "Images")
        for label, images in work.classes():
            table.add_row(label, str(images))
        Console().print(table)
        for line in (*work.problems(), work.summary()):
            _say(line)


@memory.command()
def forget(project: ProjectOption) -> None:
    """Forget all examples of a project; Label Studio's annotations stay as they are.

    Example: sam-inspect memory forget --project 3
    """
    from sam_backend.core.project_work import forget as forget_project

    for uid in forget_project(settings(), project):
        _say(f"Project {uid} has no examples any more.")


def preannotate(project: ProjectOption, model: ModelOption = "nano", checkpoint: CheckpointOption = None) -> None:
    """Give every task that nobody has labelled a prediction made with the project's examples.

    A prediction of the same model is replaced; those of others stay.

    Example: sam-inspect preannotate --project 3
    """
    with _working(project, model, checkpoint) as (work, bar):
        work.learn(bar("Looking at examples"))
        done = work.pre_annotate(bar("Pre-annotating"))
        _say(f"{done.written} tasks have a prediction, with {done.regions} masks in all; {done.failed} had no image.")


def rank(
    project: ProjectOption,
    strategy: Annotated[
        str, typer.Option(help="How to order: gain (uncertain and unlike the rest), uncertainty, diversity, random.")
    ] = "gain",
    queue: Annotated[
        bool, typer.Option("--queue", help="Let the project's queue, Label All Tasks, follow the order as well.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same order.")] = 0,
    model: ModelOption = "nano",
    checkpoint: CheckpointOption = None,
) -> None:
    """Order the unlabelled tasks by what labelling them would teach.

    Each gets a prediction made with the project's examples, whose score is its
    place: the lower, the sooner. In Label Studio's Data Manager, order by
    prediction score, ascending.

    Example: sam-inspect rank --project 3
    Example: sam-inspect rank --project 3 --strategy random --queue
    """
    from sam_backend.memory.ranking.strategies import find_strategy

    chosen = find_strategy(strategy)
    with _working(project, model, checkpoint) as (work, bar):
        work.learn(bar("Looking at examples"))
        ranked = work.rank(chosen, seed, bar("Looking at tasks"), bar("Writing scores"))
        if queue:
            work.queue_by_score()
        table = Table("Place", "Task", "Doubt", "Instability", "Disagreement")
        for place, (task, signals) in enumerate(ranked[:10], 1):
            values = (signals.doubt, signals.instability, signals.disagreement)
            table.add_row(str(place), str(task), *(f"{value:.2f}" for value in values))
        Console().print(table)
        _say(f"{len(ranked)} tasks are ordered{', and so is the queue' if queue else ''}.")


@contextmanager
def _working(
    project: str, model: str, checkpoint: Path | None
) -> Iterator[tuple[ProjectWork, Callable[[str], ProgressCallback]]]:
    """Open a project's memory, with what makes a progress bar; warnings go above the bars, one line each."""
    from sam_backend.core.project_work import ProjectWork

    console = Console(stderr=True)
    handler = RichHandler(console=console, show_time=False, show_path=False, show_level=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler], force=True)
    with (
        ProjectWork.open(settings(), project, model, checkpoint) as work,
        Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        ) as bars,
    ):

        def bar(description: str) -> ProgressCallback:
            task = bars.add_task(description, total=None)
            return lambda done, total, _doing="", /: bars.update(task, completed=done, total=total)

        yield work, bar


def _say(line: str) -> None:
    Console().print(line, highlight=False, markup=False, soft_wrap=True)
