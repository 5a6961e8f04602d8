"""The agreement of people on the images of a run; it is measured once and kept beside the rows."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pandas as pd

from sam_backend.errors import SamInspectError
from sam_backend.files import whole_file
from sam_backend.progress import ProgressCallback, no_progress
from sam_evaluation.errors import EvaluationError
from sam_evaluation.humans import human_agreement
from sam_evaluation.report.run_datasets import open_dataset
from sam_evaluation.row_columns import IMAGE, OBJECT
from sam_evaluation.run_files import Run, read_rows

FILE = "human.parquet"


def people(run: Run, out: Path, progress: ProgressCallback = no_progress) -> pd.DataFrame:
    """Return the agreement of people on the images of a run that several people outlined.

    It is read from `human.parquet` if that file fits the run; else it is measured and written there.

    Returns
    -------
    DataFrame
        The columns of `human_agreement` and `dataset`. Data sets that were moved or deleted are left out.
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
    with suppress(FileNotFoundError, EvaluationError):
        stored = read_rows(kept)
        if stored[columns].sort_values(columns, ignore_index=True).equals(wanted):
            return stored
    images = wanted[list(IMAGE)].drop_duplicates()
    pairs, done = [], 0
    for name, rows in images.groupby("dataset"):
        try:
            dataset = open_dataset(run.about, str(name))
        except SamInspectError:
            continue
        for sample in rows["sample"]:
            pairs.append(human_agreement(dataset, [sample]).assign(dataset=name))
            done += 1
            progress(done, len(images), "agreement of people")
    if not pairs:
        return wanted.iloc[:0]
    agreement = pd.concat(pairs, ignore_index=True)
    with whole_file(kept, private=False) as file:
        agreement.to_parquet(file)
    return agreement
