"""The result of an evaluation, and the files that keep it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from sam_backend.files import whole_file, write_whole
from sam_backend.stores import place
from sam_evaluation.csv_text import csv_text, read_csv_text
from sam_evaluation.errors import EvaluationError

FORMAT = 2
"""The format of the files of a run; a new number means that older files can no longer be read."""


@dataclass(frozen=True, eq=False)
class Run:
    """The result of an evaluation.

    Attributes
    ----------
    objects : DataFrame, one row per object, protocol and click; the reference of `objects.parquet` lists the columns.
    images : DataFrame, one row per image, for `everything`.
    broken : DataFrame, one row per sample that could not be used, with the reason.
    about : dict, the content of `run.json`: everything needed to repeat the run.
    left_out : DataFrame, what the readers of the data sets did not use: `left_out.COLUMNS`.
    boxes : DataFrame, one row per box, see `box_tables.box_rows`; empty unless boxes are scored.
    """

    objects: pd.DataFrame
    images: pd.DataFrame
    broken: pd.DataFrame
    about: dict[str, Any] = field(default_factory=dict)
    left_out: pd.DataFrame = field(default_factory=pd.DataFrame)
    boxes: pd.DataFrame = field(default_factory=pd.DataFrame)


def write_run(run: Run, out: Path) -> None:
    """Write the tables of a run; `run.json` is written last, so it marks a finished run."""
    for name, table in (("objects", run.objects), ("images", run.images), ("boxes", run.boxes)):
        if name == "boxes" and table.empty:
            continue
        with whole_file(out / f"{name}.parquet", private=False) as file:
            table.to_parquet(file)
    write_unused(run, out)
    write_whole(out / "run.json", json.dumps(run.about, indent=1).encode(), private=False)


def write_unused(run: Run, out: Path) -> None:
    """Write the tables of what was not used."""
    for name, table in (("broken", run.broken), ("left_out", run.left_out)):
        write_whole(out / f"{name}.csv", csv_text(table).encode(), private=False)


def load_run(folder: Path) -> Run:
    """Read the run in a folder.

    Raises
    ------
    EvaluationError
        If there is no finished run, or another version of the package wrote it in another format.
    """
    try:
        about = dict(json.loads((folder / "run.json").read_bytes()))
    except FileNotFoundError:
        raise EvaluationError(
            f"{folder} holds no finished run: run.json is missing. Run sam-inspect evaluate first."
        ) from None
    except (ValueError, TypeError):
        raise _damaged(folder / "run.json") from None
    if about.get("format") != FORMAT:
        raise EvaluationError(
            f"{folder} was written in format {about.get('format')}, this version reads {FORMAT}; evaluate again."
        )
    return Run(
        read_rows(folder / "objects.parquet"),
        read_rows(folder / "images.parquet"),
        _read_table(folder / "broken.csv"),
        about,
        # A run of an older version has no such file.
        _read_table(folder / "left_out.csv") if (folder / "left_out.csv").exists() else pd.DataFrame(),
        read_rows(folder / "boxes.parquet") if about["settings"].get("boxes") else pd.DataFrame(),
    )


def read_rows(file: Path) -> pd.DataFrame:
    """Return the table in a Parquet file, of a disk or a store; EvaluationError if the file is damaged."""
    content = file.read_bytes()
    try:
        return pd.read_parquet(io.BytesIO(content))
    # Arrow has many errors for it.
    except Exception:
        raise _damaged(file) from None


def _damaged(file: Path) -> EvaluationError:
    return EvaluationError(f"{file} is not readable; evaluate again into another folder.")


def _read_table(file: Path) -> pd.DataFrame:
    """Read a table; the file of an empty one has no columns."""
    return read_csv_text(file) if file.stat().st_size > 1 else pd.DataFrame()


def load_model_of_run(text: str) -> Run:
    """Read the part of a run that belongs to one model: `folder`, or `folder@model` if the run has several models.

    Raises
    ------
    EvaluationError
        The errors of `load_run`; also if the run does not have that model, or has several and none is named.
    """
    folder, at, model = text.rpartition("@")
    if not at or place(text).exists():
        folder, model = text, ""
    run = load_run(place(folder))
    models = list(run.about["models"])
    if not model and len(models) == 1:
        return run
    if model not in models:
        came = f"there is no {model!r}" if model else "name one"
        raise EvaluationError(f"{folder} holds {', '.join(models)}; {came}: {folder}@{models[0]}.")
    objects, images, broken, boxes = (
        table[table["model"] == model] if len(table) else table
        for table in (run.objects, run.images, run.broken, run.boxes)
    )
    about = {**run.about, "models": {model: run.about["models"][model]}}
    return Run(objects, images, broken, about, run.left_out, boxes)
