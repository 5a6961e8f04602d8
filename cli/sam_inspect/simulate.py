"""The command `simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sam_backend.extras import TORCH, how_to_install, require, require_evaluation
from sam_inspect.bars import progress_bars
from sam_inspect.options import ModelOption, settings_of
from sam_inspect.output import print_lines, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sam_evaluation.simulation.plans import Plan


def simulate(
    context: typer.Context,
    data: Annotated[str, typer.Option(help="A data set with masks, as format:folder or format:folder@split.")],
    budget: Annotated[int, typer.Option(min=1, help="Number of images that are labelled.")] = 200,
    out: Annotated[Path, typer.Option(help="Folder of the report; an interrupted simulation goes on there.")] = Path(
        "runs/loop"
    ),
    arms: Annotated[
        str,
        typer.Option(
            help="Ways of labelling, of plain, box, +memory, +finetune, +ranking, +proposer, +refiner, box+memory, "
            "box+proposer. An arm that begins with a + also has all that the + arms before it have, but +proposer and "
            "+refiner have only the memory. With box+, a box shows what is not proposed.",
        ),
    ] = "plain,box,+memory,+finetune,+ranking",
    strategies: Annotated[
        str, typer.Option(help="Orders of labelling to compare with each other; an empty text for none.")
    ] = "gain,uncertainty,diversity,random",
    seeds: Annotated[int, typer.Option(min=1, help="Repetitions, each with other images in another order.")] = 3,
    model: ModelOption = None,
    accept: Annotated[
        float, typer.Option(min=0.5, max=1, help="A mask is accepted from this IoU with the object on.")
    ] = 0.9,
    most_clicks: Annotated[
        int, typer.Option(min=1, help="Maximum number of clicks on an object; then the rest is painted by hand.")
    ] = 10,
    painting: Annotated[int, typer.Option(min=0, help="Number of clicks that painting by hand counts as.")] = 10,
    redraw: Annotated[
        bool, typer.Option("--redraw", help="Delete a proposal that is not good enough, instead of correcting it.")
    ] = False,
    tune_every: Annotated[int, typer.Option(min=1, help="Number of images after which the model is tuned again.")] = 70,
    tune_steps: Annotated[int, typer.Option(min=1, help="Maximum number of steps of a training.")] = 200,
    measured: Annotated[int, typer.Option(min=1, help="Number of images that only measure quality.")] = 50,
    jobs: Annotated[int | None, typer.Option(min=1, help="Number of processes. Default: one per core.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Measure what the loop saves: label a data set by simulation, with the loop and without.

    A simulated annotator labels images, and its clicks are counted, and its
    keys, clicks and drags in Label Studio: with the model alone, shown a click
    (plain) or a box (box), with proposals from the masks accepted before
    (+memory), with a model that is tuned on these masks (+finetune), and in an
    order chosen by the model (+ranking). What people do today is counted
    beside: painting all by hand, and one click or box a mask, then painting. Images of the training split are
    labelled; without such a split, three quarters of all images. The other
    images measure the quality of memory and model. A simulation that was
    interrupted goes on when it is started again. The folder gets report.html,
    figures (clicks.png is the most important), summary.json and the rows.

    With +proposer, a net is trained on the accepted masks instead, and proposes
    where it is better than the memory; with +refiner, what corrects masks is
    tuned on them. The arms +finetune, +ranking, +proposer and +refiner need the
    torch extra of the package.

    Example: sam-inspect simulate --data neu_seg:./neu_seg --budget 200
    Example: sam-inspect simulate --data masks:./parts --budget 20
             --arms plain,box,memory --strategies "" --seeds 1 --out runs/try
    """
    require_evaluation("simulate")
    import json as json_format

    from sam_backend.core.proposed_masks import MAX_PROPOSALS
    from sam_backend.segmenters import WeightFolders
    from sam_backend.segmenters.model_registry import load_segmenter
    from sam_evaluation.measured_models import default_jobs
    from sam_evaluation.simulation.all_runs import Storage, plan_runs
    from sam_evaluation.simulation.all_runs import simulate as run
    from sam_evaluation.simulation.annotator import Habits
    from sam_evaluation.simulation.loop import Conditions
    from sam_evaluation.simulation.loop_report import write_report
    from sam_evaluation.simulation.plans import parse_arms, parse_strategies, plans_of
    from sam_evaluation.simulation.run_tables import RunTables
    from sam_evaluation.simulation.simulation_data import open_simulation_data, people_agreement
    from sam_evaluation.simulation.simulation_result import SimulationResult

    settings = settings_of(context)
    model = model or settings.model
    named, compared = parse_arms(arms), parse_strategies(strategies)
    plans = plans_of(named, compared)
    _require_torch(plans)
    habits = Habits(accept, most_clicks, painting, redraw)
    conditions = Conditions(model, budget, habits, tune_every, tune_steps, MAX_PROPOSALS, settings.focus)
    images = open_simulation_data(data, budget, measured)
    folders = WeightFolders.of_settings(settings)
    version = load_segmenter(model, focus=settings.focus, folders=folders).version
    specs = plan_runs(plans, seeds, images, conditions, version, out)
    storage = Storage(settings.cache / "embeddings", settings.embedding_disk_mb, settings.embedding_memory_mb, folders)
    with progress_bars() as add_bar:
        run(specs, storage, jobs=jobs or default_jobs([model]), progress=add_bar("Simulating"))
        unused = images.left_out(budget, seeds, add_bar("Counting what was left out"))
        people = people_agreement(images, budget, seeds, add_bar("Comparing annotators"))
    summary = write_report(
        SimulationResult(
            tables=RunTables.of(specs),
            arms=named,
            strategies=compared,
            seeds=seeds,
            conditions=conditions,
            card=images.labelled.open().card,
            data=data,
            fingerprint=images.fingerprint[:8],
            measured=len(images.measured_names),
            version=version,
            people=people,
        ),
        out,
    )
    print_lines(*unused, err=json)
    if json:
        print_lines(json_format.dumps(summary, indent=1))
        return
    print_table(("arm", "clicks", "an object", "times plain", "pixel IoU"), (_cells(arm) for arm in summary["arms"]))
    actions = [row for row in summary["actions"] if row["level"] == f"{accept:g}"]
    heads = ("page", "way", "actions an object", "keys", "clicks", "drags", "times plain", "times by hand")
    print_table(heads, (_action_cells(way) for way in actions))
    print_lines(f"The report is {out / 'report.html'}")


def _require_torch(plans: Sequence[Plan]) -> None:
    if not any(plan.finetune or plan.proposer or plan.refiner for plan in plans):
        return
    require(TORCH, "An arm with a training", f"{how_to_install('torch')}, or take --arms plain,+memory.")


def _cells(arm: dict[str, Any]) -> tuple[str, ...]:
    """Return the row of an arm in the table of clicks."""
    styles = {"clicks": ",.0f", "per_object": ".1f", "ratio": ".3f", "pixel_iou": ".3f"}
    return arm["arm"], *_formatted(arm, styles)


def _action_cells(way: dict[str, Any]) -> tuple[str, ...]:
    """Return the row of a way of working in the table of actions."""
    counts = dict.fromkeys(("actions", "keys", "clicks", "drags"), ".1f")
    return way["page"], way["way"], *_formatted(way, {**counts, "ratio_plain": ".3f", "ratio_hand": ".3f"})


def _formatted(row: dict[str, Any], styles: dict[str, str]) -> list[str]:
    from sam_evaluation.report.numbers import NOTHING

    return [NOTHING if row[name] is None else format(row[name], style) for name, style in styles.items()]
