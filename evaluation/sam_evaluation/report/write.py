"""Writes the report of a run: `summary.csv`, `report.html`, `report.md`, and `figures/`."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
from PIL import Image

from sam_backend.files import whole_file, write_whole
from sam_backend.progress import ProgressCallback, no_progress
from sam_evaluation.csv_text import csv_text
from sam_evaluation.report.charts import charts
from sam_evaluation.report.findings import Findings
from sam_evaluation.report.gallery import Gallery, gallery
from sam_evaluation.report.page import Content, Drawn, render, slug
from sam_evaluation.report.run_datasets import object_rule
from sam_evaluation.report.sheets import sheets
from sam_evaluation.report.words import words
from sam_evaluation.requirements import Requirements
from sam_evaluation.row_columns import clicks_in
from sam_evaluation.run_files import Run

_OURS = re.compile(r"\d+-")
"""How the names of our figures begin: with the number of their data set."""


def write_report(
    run: Run,
    out: Path,
    *,
    requirements: Requirements | None = None,
    human: pd.DataFrame | None = None,
    progress: ProgressCallback = no_progress,
) -> Path:
    """Write the report of a run; it replaces an older report in the folder.

    Parameters
    ----------
    run : Run, which may be empty. The images of its gallery are read from its data sets.
    out : Path, the folder of the report, usually that of the run.
    requirements : Requirements of a line; None leaves out their table.
    human : DataFrame, the agreement of people from `sam_evaluation.report.people`; None leaves out its table.
    progress : ProgressCallback, called before each part.

    Returns
    -------
    Path
        The file `report.html`.
    """
    out.mkdir(parents=True, exist_ok=True)
    steps = 2 + 2 * len(run.about["datasets"])
    progress(0, steps, "tables")
    findings = Findings.of(run, requirements=requirements, human=human)
    figures: list[Drawn] = []
    galleries: list[Gallery] = []
    for place, dataset in enumerate(findings.datasets, start=1):
        progress(2 * place - 1, steps, f"figures of {dataset}")
        stem = f"{place}-{slug(dataset)}"
        figures += [
            Drawn(dataset, chart, f"{stem}-{chart.kind}.png", chart.png()) for chart in charts(findings, dataset)
        ]
        progress(2 * place, steps, f"cases of {dataset}")
        cases = gallery(findings, dataset, stem)
        galleries += [cases] if cases else []
    progress(steps - 1, steps, "pages")
    content = Content(findings, words(findings), list(sheets(findings)), figures, galleries)
    _write_figures(content, out / "figures")
    write_text(out / "summary.csv", csv_text(summary(findings)))
    write_text(out / "report.md", render(content, "report.md.j2"))
    write_text(out / "report.html", render(content, "report.html.j2"))
    progress(steps, steps, "report")
    return out / "report.html"


def summary(findings: Findings) -> pd.DataFrame:
    """Return every mean of the report in one long table; each row also has the facts that identify it."""
    about = findings.about
    whole = {"by": "all", "group": "all"}
    noc = findings.noc.assign(click=findings.noc["cap"], **whole)
    clicks = noc.assign(metric=[f"noc_{iou:.2f}" for iou in noc["iou"]])
    ends = {"value": noc["never"], "low": noc["never_low"], "high": noc["never_high"]}
    never = noc.assign(metric=[f"never_{iou:.2f}" for iou in noc["iou"]], **ends)
    harm = findings.worsened.assign(metric="worsened", click=clicks_in(findings.worsened["protocol"]), **whole)
    detected = pd.concat([findings.detection, findings.boxes]).assign(click=0)
    parts = [findings.summary, clicks, never, harm.astype({"click": "int64"}), detected]
    columns = list(findings.summary.columns)
    table = pd.concat([part[columns] for part in parts if len(part)] or [findings.summary], ignore_index=True)
    prints = table["dataset"].map({name: card["fingerprint"] for name, card in about["datasets"].items()})
    table.insert(columns.index("dataset") + 1, "dataset_hash", prints)
    return table.assign(seed=about["settings"]["seed"], object_rule=str(object_rule(about)))


def _write_figures(content: Content, folder: Path) -> None:
    """Write all pictures, and remove those of an older report that this one does not have; others stay."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = [case for of_dataset in content.galleries for case in of_dataset.cases]
    for figure in content.figures:
        write_whole(folder / figure.file, figure.png, private=False)
    for case in cases:
        with whole_file(folder / case.file, private=False) as file:
            Image.fromarray(case.strip()).save(file, "PNG")
    names = {*(figure.file for figure in content.figures), *(case.file for case in cases)}
    for old in folder.glob("*.png"):
        if _OURS.match(old.name) and old.name not in names:
            old.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write_whole(path, text.encode(), private=False)
