"""How far people agree on the images of a run: measured once, kept beside its rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sam_backend.errors import SamInspectError
from sam_evaluation.humans import human_agreement
from sam_evaluation.report.run_datasets import open_dataset
from sam_evaluation.row_columns import IMAGE, OBJECT
from sam_evaluation.run_files import Run
from sam_evaluation.runner import Progress

FILE = "human.parquet"


def people(run: Run, out: Path, progress: Progress = lambda done, total, what: None) -> pd.DataFrame:
    """Return the agreement of people on the run's own images that several outlined, from `human.parquet` if it is that.

    Returns
    -------
    DataFrame
        The columns of `human_agreement` and `dataset`; without data sets that are no longer where they were.
    """
    columns = [*OBJECT, "area"]
    if run.objects.empty:
        return pd.DataFrame(columns=columns)
    outlined = run.objects[columns].drop_duplicates()
    several = outlined.groupby(list(IMAGE))["annotator"].transform("nunique") > 1
    wanted = outlined[several].sort_values(columns, ignore_index=True)
    if wanted.empty:
        return wanted
    kept = out / FILE
    if kept.exists():
        found = pd.read_parquet(kept)
        if found[columns].sort_values(columns, ignore_index=True).equals(wanted):
            return found
    images = wanted[list(IMAGE)].drop_duplicates()
    pairs, done = [], 0
    for name, some in images.groupby("dataset"):
        try:
            dataset = open_dataset(run.about, str(name))
        except SamInspectError:
            continue
        for sample in some["sample"]:
            pairs.append(human_agreement(dataset, [sample]).assign(dataset=name))
            done += 1
            progress(done, len(images), "agreement of people")
    if not pairs:
        return wanted.iloc[:0]
    found = pd.concat(pairs, ignore_index=True)
    unfinished = out / f"{FILE}.unfinished"
    found.to_parquet(unfinished)
    unfinished.replace(kept)
    return found
