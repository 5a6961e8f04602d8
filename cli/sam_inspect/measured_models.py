"""`models --measure`: what models cost on this machine, as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from sam_inspect.bars import progress_bars
from sam_inspect.output import print_lines, print_table

if TYPE_CHECKING:
    from sam_backend.segmenters.measuring import Cost
    from sam_backend.segmenters.model_info import WeightFolders

_HEADS = ("Model", "Weights", "At rest", "At work", "Load", "First click", "Next click")


def measure_models(names: Sequence[str], folders: WeightFolders, *, as_json: bool) -> None:
    """Measure models, all of them without a name, and print what they cost."""
    from sam_backend.segmenters.measuring import measure
    from sam_backend.segmenters.model_registry import known_models, model_info

    infos = [model_info(name) for name in names] or known_models()
    with progress_bars() as add_bar:
        costs = list(measure(infos, folders, add_bar("Measuring")))
    if as_json:
        print_lines(json.dumps([asdict(cost) for cost in costs], indent=1))
        return
    print_table(_HEADS, map(_row, (cost for cost in costs if not cost.problem)))
    print_lines(
        "",
        "Memory is that of the whole process; a click is of an image of 1500 x 1000 pixels, and in brackets are the "
        "seconds of all cores. Random weights cost what published ones cost.",
        *(f"Not measured: {cost.model} {cost.problem}." for cost in costs if cost.problem),
    )


def _row(cost: Cost) -> tuple[str, ...]:
    memory = (f"{size / 1e6:,.0f} MB" if size is not None else "unknown" for size in (cost.rest, cost.peak))
    clicks = ((cost.first_ms, cost.first_cpu_s), (cost.next_ms, cost.next_cpu_s))
    times = (f"{milliseconds:,.0f} ms ({seconds:.2f} s)" for milliseconds, seconds in clicks)
    return cost.model, cost.weights, *memory, f"{cost.load_s:.1f} s", *times
