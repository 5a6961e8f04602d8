"""The command `gap`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sam_backend.errors import WeightsError
from sam_backend.extras import require_evaluation
from sam_inspect.bars import progress_bars
from sam_inspect.evaluation import write_and_print_report
from sam_inspect.options import ANY_FOLDER, ClusterOption, FocusOption, settings_of
from sam_inspect.output import print_lines

PUBLISHED = "box,click,clicks:5,spread-clicks:5,everything"
"""The protocols of the comparison."""


def gap(
    context: typer.Context,
    models: Annotated[
        str, typer.Option(help="Models and baselines, as in sam:vit_b,sam2.1:small,hq:vit_b,nano; comma-separated.")
    ],
    data: Annotated[list[str], typer.Option(help="A data set as format:folder, or format:folder@split. Repeatable.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; an interrupted run goes on there.", **ANY_FOLDER)],
    protocol: Annotated[
        str,
        typer.Option(help="The simulated annotators, as in evaluate; for NoC as others publish it, with clicks:20."),
    ] = PUBLISHED,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Measure the other models if one is not ready here.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="About this many images of each data set.")] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Number of processes. Default: one per core; for large models one.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the protocols that draw at random.")] = 0,
    focus: FocusOption = None,
    cluster: ClusterOption = None,
) -> None:
    """Compare models on data sets by the published protocol, as a page ready to publish.

    The protocol is box, click, clicks:5, spread-clicks:5 and everything, as in
    evaluate. The folder gets gap.html, gap.md, gap.csv, costs.csv and a figure
    of models against data sets, with intervals, NoC, speed, memory and
    licences, and all files of evaluate. Nothing is downloaded: a model whose
    weights are missing is named before anything is computed.

    With --cluster many machines measure, as in evaluate; speed and memory are
    those of this machine.

    Example: sam-inspect gap --models nano,boxfill --limit 20
             --data magnetic_tile:./magnetic_tile --data bsds500:./bsds500
             --out runs/gap
    """
    require_evaluation("gap")
    from sam_backend.cluster.connection import open_workers
    from sam_backend.segmenters.model_info import WeightFolders
    from sam_evaluation.errors import EvaluationError
    from sam_evaluation.gap_report.costs import measure_costs
    from sam_evaluation.gap_report.missing_models import missing_models
    from sam_evaluation.gap_report.write import write_gap_report
    from sam_evaluation.measured_models import check_model, default_jobs
    from sam_evaluation.run_plan import RunSettings
    from sam_evaluation.runner import evaluate as run

    if cluster and jobs:
        raise EvaluationError("--jobs are processes of this machine; leave --jobs or --cluster out.")
    settings = settings_of(context)
    folders, chosen = WeightFolders.of_settings(settings), focus or settings.focus
    named = [name for part in models.split(",") if (name := part.strip())]
    missing = missing_models(named, folders)
    ready = [name for name in named if name not in missing]
    lines = [f"{name} cannot be measured: {reason}." for name, reason in missing.items()]
    if missing and not (skip_missing and ready):
        end = [] if not ready else ["Add --skip-missing to measure only the others."]
        raise WeightsError("\n".join([*lines, *end]))
    print_lines(*lines, err=True)
    infos = [check_model(name) for name in ready]
    with open_workers(cluster, infos, settings) as workers, progress_bars() as add_bar:
        result = run(
            ready,
            data,
            out=out,
            settings=RunSettings(protocol, seed, limit, focus=chosen),
            folders=folders,
            jobs=jobs or default_jobs(ready),
            workers=workers,
            progress=add_bar("Evaluating"),
        )
        costs = measure_costs(result, out, folders, add_bar("Measuring speed and memory"))
    write_and_print_report(result, out, None)
    page = write_gap_report(result, out, costs, folders, missing)
    print_lines(f"The page to publish is {page}")
