"""The commands `evaluate`, `compare` and `gate`: they translate options and print tables; the work is elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd

PANEL = "Evaluation"


def evaluate(
    model: Annotated[
        list[str],
        typer.Option(help="A model, or a baseline: boxfill, felzenszwalb, grabcut. May be given several times."),
    ],
    data: Annotated[
        list[str],
        typer.Option(help="A data set as format:folder, or format:folder@split. May be given several times."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run; an interrupted run goes on there.")],
    protocol: Annotated[
        str,
        typer.Option(
            help="Simulated annotators: box, box:jitter, click, click:random, click:spread, clicks:N, everything, text."
        ),
    ] = "box,click,clicks:5,everything",
    checkpoint: Annotated[Path | None, typer.Option(help="Weights of the model, where there is one model.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes; the cores are shared among them.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="About this many images of each data set.")] = None,
    seed: Annotated[int, typer.Option(help="Of the protocols that draw at random.")] = 0,
    min_area: Annotated[int, typer.Option(min=1, help="Smaller objects, in pixels, are left out.")] = 20,
    connectivity: Annotated[
        int, typer.Option(help="8 or 4 neighbours join pixels of a mask into one object; 0 keeps a class whole.")
    ] = 8,
) -> None:
    """Measure how well models segment the objects of data sets.

    A simulated annotator shows each object to the model: by its box, by a
    click in its centre, by corrected clicks, or not at all (everything).
    Each answer is measured against the object's mask; the rows go to
    objects.parquet in the folder of the run.

    Example: sam-inspect evaluate --model nano --model boxfill
             --data magnetic_tile:./magnetic_tile --out runs/tile
    """
    from sam_evaluation.datasets.objects import ObjectRule
    from sam_evaluation.errors import EvaluationError
    from sam_evaluation.run import Settings
    from sam_evaluation.run import evaluate as run
    from sam_evaluation.tables import summary

    if connectivity not in (0, 4, 8):
        raise EvaluationError(f"--connectivity is 8, 4 or 0; got {connectivity}.")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("Opening", total=None)
        result = run(
            model,
            data,
            out=out,
            settings=Settings(protocol, seed, limit, ObjectRule(connectivity, min_area)),
            checkpoint=checkpoint,
            jobs=jobs,
            progress=lambda done, total, what: bar.update(
                task, completed=done, total=total, description=what or "images"
            ),
        )
    console = Console()
    console.print(_means(summary(result.objects, by=())))
    if len(result.broken):
        console.print(f"{len(result.broken)} images could not be used:")
        for row in result.broken.to_dict("records"):
            console.print(f"  {row['sample']}: {row['reason']}", highlight=False, markup=False)
    console.print(f"The rows are in {out / 'objects.parquet'}", highlight=False)


def _means(means: pd.DataFrame) -> Table:
    """Return a line a model, data set and protocol, over all objects."""
    metrics = ("iou", "iou_oracle", "boundary_f")
    cells = ["model", "dataset", "protocol", "click"]
    table = Table(*cells, *metrics, "objects")
    chosen = means[(means["by"] == "all") & means["metric"].isin(metrics)]
    for names, rows in chosen.groupby(cells, sort=False):
        of = {row["metric"]: row for row in rows.to_dict("records")}
        values = (f"{of[name]['value']:.3f} ({of[name]['low']:.3f} to {of[name]['high']:.3f})" for name in metrics)
        table.add_row(*(str(name) for name in names), *values, str(of["iou"]["objects"]))
    return table


def compare(
    first: Annotated[Path, typer.Argument(help="Folder of run A.", metavar="RUN_A")],
    second: Annotated[Path, typer.Argument(help="Folder of run B.", metavar="RUN_B")],
    metric: Annotated[str, typer.Option(help="What to compare: iou, dice, boundary_f, boundary_iou, hd95, …")] = "iou",
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
) -> None:
    """Tell whether run B is better than run A on the same objects, and how sure that is.

    Example: sam-inspect compare runs/plain runs/tuned
    """
    from sam_evaluation.compare import compare as pair
    from sam_evaluation.run import load_run

    found = pair(load_run(first).objects, load_run(second).objects, metric, seed).table()
    names = ("protocol", "objects", "mean_a", "mean_b", "difference", "low", "high", "p_holm", "wins", "losses", "ties")
    _print(names, found.to_dict("records"))
    for verdict in found["verdict"]:
        Console().print(verdict, highlight=False)


def gate(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    minimum: Annotated[list[str] | None, typer.Option("--min", help="Such as iou.box>=0.7; several times.")] = None,
    maximum: Annotated[list[str] | None, typer.Option("--max", help="Such as noc90.clicks<=8; several times.")] = None,
) -> None:
    """Exit with 1 where a run does not keep its bounds: for continuous integration.

    Example: sam-inspect gate runs/tile --min "iou.box>=0.7" --max "fp.everything<=2"
    """
    from sam_evaluation.errors import EvaluationError
    from sam_evaluation.gate import evaluate_gate, parse_gate
    from sam_evaluation.run import load_run

    bounds = [*(minimum or []), *(maximum or [])]
    if not bounds:
        raise EvaluationError("Give at least one bound, such as --min 'iou.box>=0.7'.")
    loaded = load_run(run)
    results = evaluate_gate(parse_gate(",".join(bounds)), loaded.objects, loaded.images)
    table = Table("bound", "measured", "")
    for result in results:
        table.add_row(f"{result.name} {result.bound}", f"{result.measured:.4g}", "met" if result.met else "NOT met")
    Console().print(table)
    if not all(result.met for result in results):
        raise typer.Exit(1)


def _print(names: Sequence[str], rows: list[dict[Any, Any]]) -> None:
    table = Table(*names)
    for row in rows:
        table.add_row(*(f"{row[name]:.4g}" if isinstance(row[name], float) else str(row[name]) for name in names))
    Console().print(table)
