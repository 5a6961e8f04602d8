"""The commands `evaluate`, `report`, `compare` and `gate`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sam_backend.extras import require_evaluation
from sam_backend.stores import place
from sam_inspect.bars import progress_bars
from sam_inspect.options import (
    ANY_FOLDER,
    ClusterOption,
    FocusOption,
    PipelineOption,
    RequirementsOption,
    given_options,
    settings_of,
)
from sam_inspect.output import print_lines, print_table

if TYPE_CHECKING:
    import pandas as pd

    from sam_evaluation.requirements import Requirements
    from sam_evaluation.run_files import Run


def evaluate(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the run; an interrupted run goes on there.", **ANY_FOLDER)],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A model, or a baseline: boxfill, felzenszwalb, grabcut. Repeatable. Default without "
            "--predictions: SAM_INSPECT_MODEL, or nano."
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="A data set as format:folder, or format:folder@split. Repeatable."),
    ] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of masks or probability maps of any model, named like the images. Repeatable.", **ANY_FOLDER
        ),
    ] = None,
    predictions_are: Annotated[
        str, typer.Option(help="Meaning of whole numbers in these files: auto (masks only), labels, probabilities.")
    ] = "auto",
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Probability from which a pixel is in a mask.")] = 0.5,
    label_studio_export: Annotated[
        Path | None,
        typer.Option(
            help="Label Studio's JSON export with predictions: measures how people changed them. Only --out and --seed "
            "go with it."
        ),
    ] = None,
    pipeline: PipelineOption = None,
    examples: Annotated[
        str | None,
        typer.Option(help="With a pipeline's step memory: the data set of accepted images, as format:folder@split."),
    ] = None,
    shots: Annotated[int, typer.Option(min=1, help="How many images of --examples are accepted.")] = 50,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Simulated annotators: box, box:jitter, click, click:random, click:spread, clicks:N, box+clicks:N, "
            "spread-clicks:N, everything, text, exemplar. Default: box,click,clicks:5,everything; of a pipeline "
            "everything."
        ),
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Weights of the model, if there is only one model.")] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Number of processes. Default: one per core; for sam:* one on all cores."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="About this many images of each data set.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the protocols that draw at random.")] = 0,
    requirements: RequirementsOption = None,
    min_area: Annotated[int, typer.Option(min=1, help="Objects with fewer pixels are left out.")] = 20,
    boxes: Annotated[
        bool,
        typer.Option("--boxes", help="Also score the boxes of everything, text and exemplar: COCO's AP and AR."),
    ] = False,
    focus: FocusOption = None,
    connectivity: Annotated[
        int,
        typer.Option(help="8 or 4 neighbours of a pixel belong to its object; 0 keeps a whole class as one object."),
    ] = 8,
    cluster: ClusterOption = None,
) -> None:
    """Measure how well models segment the objects of data sets.

    A simulated annotator shows each object to the model: by its box, by a
    click in its centre, by corrected clicks, or not at all (everything).
    Each answer is measured against the object's mask. The folder of the run
    gets report.html, report.md, summary.csv, figures, and objects.parquet with
    one row per object.

    Example: sam-inspect evaluate --model nano --model boxfill
             --data magnetic_tile:./magnetic_tile --out runs/tile

    It also measures masks that were made elsewhere: the predictions of any
    model in a folder, or how people changed predictions in Label Studio.

    Example: sam-inspect evaluate --predictions ./unet
             --data magnetic_tile:./magnetic_tile --out runs/unet
    Example: sam-inspect evaluate --label-studio-export export.json
             --out runs/accepted

    The masks that a pipeline proposes are measured by everything. Data sets,
    predictions and the run may lie on a store, as in coco:s3://bucket/parts.

    Example: sam-inspect evaluate --pipeline defects.toml --examples
             coco:./accepted --data coco:./parts --out runs/pipeline

    With --cluster many machines measure, with the same results. They find the
    data in the same folders, which they share.

    Example: sam-inspect evaluate --model sam:vit_h --data coco:/data/parts
             --out runs/parts --cluster ray://head:10001
    """
    require_evaluation("evaluate")
    from sam_evaluation.errors import EvaluationError

    if label_studio_export:
        beside = [name for name in given_options(context) if name not in ("label_studio_export", "out", "seed")]
        if beside:
            option = beside[0].replace("_", "-")
            raise EvaluationError(f"--label-studio-export takes only --out and --seed beside it; leave --{option} out.")
        _report_changes(label_studio_export, out, seed)
        return
    if not data:
        raise EvaluationError("Name what to measure on with --data, or an export with --label-studio-export.")
    from sam_backend.cluster.connection import open_workers
    from sam_backend.segmenters.model_info import WeightFolders
    from sam_evaluation.datasets.objects import ObjectRule
    from sam_evaluation.measured_models import check_model, default_jobs
    from sam_evaluation.measured_pipeline import MeasuredPipeline
    from sam_evaluation.prediction_files import Predictions, ValueKind
    from sam_evaluation.protocols.named_protocols import EVERYTHING
    from sam_evaluation.run_plan import RunSettings
    from sam_evaluation.runner import evaluate as run

    if cluster and jobs:
        raise EvaluationError("--jobs are processes of this machine; leave --jobs or --cluster out.")
    if connectivity not in (0, 4, 8):
        raise EvaluationError(f"--connectivity is 8, 4 or 0; got {connectivity}.")
    if predictions_are not in tuple(ValueKind):
        raise EvaluationError(f"--predictions-are is {', '.join(ValueKind)}; got {predictions_are!r}.")
    masks = [Predictions(folder, threshold, ValueKind(predictions_are)) for folder in predictions or []]
    needed = _read(requirements)
    settings = settings_of(context)
    measured = MeasuredPipeline.of(pipeline, examples, shots) if pipeline else None
    if beside := [name for name in ("examples", "shots") if name in given_options(context) and not pipeline]:
        raise EvaluationError(f"--{beside[0]} goes only with --pipeline; leave it out.")
    models = model or ([] if masks else [settings.model])
    infos = [check_model(name) for name in models]
    with open_workers(cluster, infos, settings) as workers, progress_bars() as add_bar:
        result = run(
            models,
            data,
            out=out,
            predictions=masks,
            settings=RunSettings(
                protocol or (EVERYTHING if measured else RunSettings.protocols),
                seed,
                limit,
                ObjectRule(connectivity, min_area),
                focus or settings.focus,
                measured,
                boxes,
            ),
            checkpoint=checkpoint,
            folders=WeightFolders.of_settings(settings),
            jobs=jobs or default_jobs(models),
            workers=workers,
            progress=add_bar("Evaluating"),
        )
    write_and_print_report(result, out, needed)


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", metavar="RUN", parser=place)],
    requirements: RequirementsOption = None,
) -> None:
    """Write the report of a run again, without running any model.

    Example: sam-inspect report runs/tile --requirements line.toml
    """
    require_evaluation("report")
    from sam_evaluation.run_files import load_run

    write_and_print_report(load_run(run), run, _read(requirements))


def _read(requirements: Path | None) -> Requirements | None:
    from sam_evaluation.requirements import read_requirements

    return read_requirements(requirements) if requirements else None


def write_and_print_report(run: Run, out: Path, requirements: Requirements | None) -> None:
    """Write the report of a run, and print its most important results."""
    from sam_evaluation.left_out import reasons
    from sam_evaluation.report.numbers import count
    from sam_evaluation.report.people import people
    from sam_evaluation.report.write import write_report
    from sam_evaluation.summary_tables import summary

    with progress_bars() as add_bar:
        progress = add_bar("Report")
        human = people(run, out, progress)
        page = write_report(run, out, requirements=requirements, human=human, progress=progress)
    if len(run.objects):
        from rich.table import Column

        heads = ("model", "data set", "protocol", Column("IoU", no_wrap=True), "boundary F", "objects")
        print_table(heads, _means(summary(run.objects, by=())))
    if len(run.boxes):
        import pandas as pd

        with (out / "summary.csv").open(encoding="utf-8") as file:
            means = pd.read_csv(file)
        print_table(
            ("model", "data set", "protocol", "box AP", "box AP50", "box AR100", "objects"),
            _box_scores(means),
        )
    if len(run.broken):
        broken = run.broken.drop_duplicates(["dataset", "sample"])
        print_lines(f"{count(len(broken), 'image')} could not be used:")
        print_lines(*(f"  {row['sample']}: {row['reason']}" for row in broken.to_dict("records")))
    print_lines(*map(str, reasons(run.left_out)))
    print_lines(f"The report is {page}")


def _report_changes(export: Path, out: Path, seed: int) -> None:
    """Write the report of how people changed predictions, and print its most important sentences."""
    from sam_evaluation.prediction_changes import read_changes
    from sam_evaluation.report.changes_report import write_changes_report
    from sam_evaluation.report.numbers import count

    changes = read_changes(export)
    print_lines(*write_changes_report(changes, export, out, seed=seed).lead)
    if len(changes.broken):
        print_lines(f"{count(len(changes.broken), 'task')} could not be used:")
        print_lines(*(f"  {row['reason']}" for row in changes.broken.to_dict("records")))
    print_lines(f"The report is {out / 'report.html'}")


def _means(means: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """Yield a row for each model, data set and protocol, over all objects after the last click."""
    from sam_evaluation.report.numbers import estimate, number
    from sam_evaluation.row_columns import clicks_of

    chosen = means[(means["by"] == "all") & means["metric"].isin(["iou", "boundary_f"])]
    for (model, dataset, protocol, click), rows in chosen.groupby(
        ["model", "dataset", "protocol", "click"], sort=False
    ):
        if click == (clicks_of(str(protocol)) or click):
            of = {row["metric"]: row for row in rows.to_dict("records")}
            values = (estimate(of["iou"]), number(of["boundary_f"]["value"]), f"{of['iou']['objects']:,}")
            yield str(model), str(dataset), str(protocol), *values


def _box_scores(means: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """Yield a row with the scores of boxes for each model, data set and protocol."""
    from sam_evaluation.report.numbers import number

    names = ["box_ap", "box_ap50", "box_ar100"]
    chosen = means[(means["by"] == "all") & means["metric"].isin(names)]
    for (model, dataset, protocol), rows in chosen.groupby(["model", "dataset", "protocol"], sort=False):
        values = rows.set_index("metric")
        scores = (number(values["value"][name]) for name in names)
        yield str(model), str(dataset), str(protocol), *scores, f"{values['objects']['box_ap']:,}"


def compare(
    first: Annotated[str, typer.Argument(help="Folder of run A; RUN@MODEL if it has several models.")],
    second: Annotated[str, typer.Argument(help="Folder of run B, or RUN@MODEL.")],
    metric: Annotated[str, typer.Option(help="What to compare: iou, dice, boundary_f, boundary_iou, hd95, …")] = "iou",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
) -> None:
    """Compare run B with run A on the same objects: which is better, and how certain that is.

    Example: sam-inspect compare runs/plain runs/tuned
    Example: sam-inspect compare runs/tile@grabcut runs/tile@nano
    """
    require_evaluation("compare")
    from sam_evaluation.comparison import compare as pair
    from sam_evaluation.report.numbers import DIFFERENCE, PIXELS, SHARE, estimate, number
    from sam_evaluation.row_columns import METRICS
    from sam_evaluation.run_files import load_model_of_run

    comparison = pair(load_model_of_run(first).objects, load_model_of_run(second).objects, metric, seed)
    style, signed = (PIXELS, f"+{PIXELS}") if METRICS[metric].unit else (SHARE, DIFFERENCE)
    rows = (
        (
            pairing.protocol,
            f"{pairing.objects:,}",
            number(pairing.mean_a, style),
            number(pairing.mean_b, style),
            estimate({"value": pairing.difference, "low": pairing.low, "high": pairing.high}, signed),
            f"{pairing.p_holm:.2g}",
            f"{pairing.wins:,}",
            f"{pairing.losses:,}",
        )
        for pairing in comparison.pairings
    )
    print_table(("protocol", "objects", "A", "B", "B \N{MINUS SIGN} A", "p", "better", "worse"), rows)
    print_lines(*(pairing.verdict for pairing in comparison.pairings))


def gate(
    run: Annotated[str, typer.Argument(help="Folder of a run; RUN@MODEL if it has several models.")],
    minimum: Annotated[list[str] | None, typer.Option("--min", help="For example iou.box>=0.7. Repeatable.")] = None,
    maximum: Annotated[list[str] | None, typer.Option("--max", help="For example noc90.clicks<=8. Repeatable.")] = None,
) -> None:
    """Check a run against bounds and exit with 1 if it misses one: for continuous integration.

    Example: sam-inspect gate runs/tile --min "iou.box>=0.7" --max "fp.everything<=2"
    """
    require_evaluation("gate")
    from sam_evaluation.ci_gate import evaluate_gate, parse_gate
    from sam_evaluation.errors import EvaluationError
    from sam_evaluation.run_files import load_model_of_run

    conditions = []
    for option, bounds, sign in (("min", minimum, ">"), ("max", maximum, "<")):
        for condition in parse_gate(",".join(bounds)) if bounds else []:
            if not condition.bound.comparator.startswith(sign):
                raise EvaluationError(f"--{option} takes {sign}= or {sign}; got {condition.name} {condition.bound}.")
            conditions.append(condition)
    if not conditions:
        raise EvaluationError("Give at least one bound, such as --min 'iou.box>=0.7'.")
    loaded = load_model_of_run(run)
    results = evaluate_gate(conditions, loaded.objects, loaded.images)
    rows = (
        (f"{result.name} {result.bound}", f"{result.measured:.4g}", "met" if result.met else "NOT met")
        for result in results
    )
    print_table(("bound", "measured", ""), rows)
    if not all(result.met for result in results):
        raise typer.Exit(1)
