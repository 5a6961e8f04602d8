"""The tables of the page: quality by protocol, clicks, and cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sam_backend.segmenters import WeightFolders
from sam_backend.segmenters.measuring import Cost
from sam_evaluation.gap_report.costs import weights_bytes
from sam_evaluation.measured_models import check_model
from sam_evaluation.protocols.named_protocols import EVERYTHING
from sam_evaluation.report import numbers
from sam_evaluation.report.findings import Findings, find
from sam_evaluation.report.numbers import PERCENT, estimate
from sam_evaluation.report.phrases import phrase, protocol_order
from sam_evaluation.report.reference_sheets import gap_sheet
from sam_evaluation.report.sheet import Sheet, make_sheet
from sam_evaluation.report.sheets import clicks_sheet


def gap_sheets(findings: Findings, costs: Mapping[str, Cost], folders: WeightFolders) -> Iterator[Sheet]:
    """Yield the tables with at least one row."""
    for sheet in (_quality(findings), clicks_sheet(findings), gap_sheet(findings), _cost(findings, costs, folders)):
        if sheet.rows:
            yield sheet


def protocols_of(findings: Findings) -> list[str]:
    """Return all protocols of a run, in the order of `protocol_order`."""
    names = {name for dataset in findings.datasets for name in findings.protocols(dataset)}
    return sorted(names, key=lambda name: (protocol_order(name), name))


def _quality(findings: Findings) -> Sheet:
    names = protocols_of(findings)
    rows = []
    for dataset in findings.datasets:
        for model in findings.models:
            means = {name: row for name in names if (row := findings.mean(dataset, model, name)) is not None}
            if not means:
                continue
            found = find(findings.detection, dataset=dataset, model=model, by="all", metric=f"recall_{_FOUND:g}")
            most = max(means.values(), key=lambda row: int(row["objects"]))
            cells = (estimate(means[name]) if name in means else numbers.NOTHING for name in names)
            recall = [estimate(found, PERCENT) if found else numbers.NOTHING] if EVERYTHING in names else []
            rows.append((dataset, model, *cells, *recall, f"{most['objects']:,}", f"{most['images']:,}"))
    heads = [f"IoU {phrase(name)}" for name in names]
    return make_sheet(
        findings,
        "Models on data sets",
        "Mean IoU of all objects by the prompt; without a prompt, an object that was not found counts with 0. Found: "
        f"the share of the objects with a proposal of IoU {_FOUND:g} or more.",
        ("data set", "model"),
        (*heads, *(["found without a prompt"] if EVERYTHING in names else []), "objects", "images"),
        rows,
    )


_FOUND = 0.5


def _cost(findings: Findings, costs: Mapping[str, Cost], folders: WeightFolders) -> Sheet:
    rows = []
    for model, cost in costs.items():
        info = check_model(model)
        rows.append(
            (
                model,
                *((f"{value:,.0f}") for value in (cost.first_ms, cost.next_ms)),
                *((f"{value:.2f}") for value in (cost.first_cpu_s, cost.next_cpu_s)),
                *(_megabytes(value) for value in (cost.rest, cost.peak, weights_bytes(info, folders))),
                info.licence,
            )
            if not cost.problem
            else (model, *[numbers.NOTHING] * 6, _megabytes(weights_bytes(info, folders)), info.licence)
        )
    return make_sheet(
        findings,
        "Speed and memory",
        f"Each model alone in a fresh process on this machine ({findings.about['machine']}), with up to three images "
        "of each data set. A first click encodes the image and answers; a next click only answers. Times are medians; "
        "CPU is of all threads. Memory is that of the whole process. Baselines are not measured.",
        ("model",),
        (
            *("first click, ms", "next click, ms", "first click, CPU s", "next click, CPU s"),
            *("memory at rest, MB", "peak memory, MB", "weights, MB", "licence"),
        ),
        rows,
    )


def _megabytes(value: int | None) -> str:
    return f"{value / 1e6:,.0f}" if value else numbers.NOTHING
