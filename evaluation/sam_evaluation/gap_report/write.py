"""Writes the page of the published protocol: `gap.html`, `gap.md`, `gap.csv` and `costs.csv` beside the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from sam_backend.files import write_whole
from sam_backend.segmenters import WeightFolders
from sam_backend.segmenters.measuring import Cost
from sam_evaluation.click_tables import clicks_curve
from sam_evaluation.csv_text import csv_text
from sam_evaluation.gap_report.chart import models_on_datasets
from sam_evaluation.gap_report.costs import weights_bytes
from sam_evaluation.gap_report.sheets import gap_sheets
from sam_evaluation.left_out import reasons
from sam_evaluation.measured_models import check_model
from sam_evaluation.report.findings import Findings
from sam_evaluation.report.page import Drawn, template
from sam_evaluation.report.sheet import note
from sam_evaluation.report.words import Words, words
from sam_evaluation.report.write import summary, write_text
from sam_evaluation.run_files import Run

_PLACE = "all data sets"


def write_gap_report(
    run: Run, out: Path, costs: Mapping[str, Cost], folders: WeightFolders, missing: Mapping[str, str]
) -> Path:
    """Write the page; it replaces an older one in the folder.

    Parameters
    ----------
    run : Run.
    out : Path, the folder of the run, which has its report.
    costs : the cost of each model.
    folders : WeightFolders, where the weights are, whose sizes are told.
    missing : what each model lacks that was named and not measured.

    Returns
    -------
    Path
        The file `gap.html`.
    """
    findings = Findings.of(run)
    chart = models_on_datasets(findings)
    figure = Drawn(_PLACE, chart, "gap-models.png", chart.png())
    write_whole(out / "figures" / figure.file, figure.png, private=False)
    told = words(findings)
    absent = (
        *(f"{name} was not measured: {reason}." for name, reason in missing.items()),
        *(
            f"The speed and memory of {name} are not known: {cost.problem}."
            for name, cost in costs.items()
            if cost.problem
        ),
    )
    broken = run.broken.drop_duplicates(["dataset", "sample", "reason"]) if len(run.broken) else run.broken
    context: dict[str, Any] = {
        "words": Words(told.lead, (), (*absent, *told.cautions)),
        "sheets": list(gap_sheets(findings, costs, folders)),
        "figures": [figure],
        "galleries": [],
        "broken": broken.to_dict("records"),
        "left_out": reasons(run.left_out, with_rule=True),
        # The figures of the page are about all data sets together.
        "findings": {"models": findings.models, "datasets": [_PLACE]},
        "datasets": list(findings.datasets),
        "about": run.about,
        "models": _models(run),
        "note": note(findings),
    }
    write_text(out / "gap.csv", csv_text(_means(findings)))
    write_text(out / "costs.csv", csv_text(_costs(run, costs, folders)))
    for name in ("gap.md", "gap.html"):
        write_text(out / name, template(f"{name}.j2", "sam_evaluation", "gap_report").render(context))
    return out / "gap.html"


def _models(run: Run) -> list[dict[str, str]]:
    infos = ((check_model(name), facts["version"]) for name, facts in run.about["models"].items())
    return [
        {"name": info.name, "version": version, "description": info.description, "licence": info.licence}
        for info, version in infos
    ]


def _means(findings: Findings) -> pd.DataFrame:
    """Return the means over all objects, the IoU after each click among them."""
    table = summary(findings)
    whole = table[table["by"] == "all"].drop(columns=["by", "group"])
    facts = whole[["dataset", "dataset_hash", "seed", "object_rule"]].drop_duplicates()
    curve = clicks_curve(findings.run.objects, seed=int(findings.about["settings"]["seed"]))
    by_click = curve.assign(metric="iou_after_click").merge(facts, on="dataset")
    return pd.concat([whole, by_click[whole.columns]], ignore_index=True)


def _costs(run: Run, costs: Mapping[str, Cost], folders: WeightFolders) -> pd.DataFrame:
    rows = (
        {
            **asdict(cost),
            "version": run.about["models"][name]["version"],
            "weights_bytes": weights_bytes(check_model(name), folders),
            "licence": check_model(name).licence,
            "machine": run.about["machine"],
        }
        for name, cost in costs.items()
    )
    return pd.DataFrame(list(rows))
