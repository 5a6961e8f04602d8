"""What an evaluation gave, and the files that keep it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from sam_evaluation.errors import EvaluationError

FORMAT = 2
"""Of the files of a run; raised when older ones can no longer be read."""


@dataclass(frozen=True, eq=False)
class Run:
    """What an evaluation gave.

    Attributes
    ----------
    objects : a row an object, protocol and click; columns as in the reference of `objects.parquet`.
    images : a row an image, for `everything`.
    broken : a row a sample that could not be used, with its reason.
    about : everything needed to repeat it.
    """

    objects: pd.DataFrame
    images: pd.DataFrame
    broken: pd.DataFrame
    about: dict[str, Any] = field(default_factory=dict)


def write_run(run: Run, out: Path) -> None:
    """Write the tables of a run, each whole or not at all; `run.json` last, so that it stands for a whole run."""
    for name, table in (("objects", run.objects), ("images", run.images)):
        unfinished = out / f"{name}.unfinished"
        table.to_parquet(unfinished)
        unfinished.replace(out / f"{name}.parquet")
    unfinished = out / "broken.unfinished"
    run.broken.to_csv(unfinished, index=False)
    unfinished.replace(out / "broken.csv")
    unfinished = out / "run.unfinished"
    unfinished.write_text(json.dumps(run.about, indent=1))
    unfinished.replace(out / "run.json")


def load_run(folder: Path) -> Run:
    """Read the run in a folder.

    Raises
    ------
    EvaluationError
        If there is none, it is unfinished, or another version of the package wrote it in another format.
    """
    try:
        about = json.loads((folder / "run.json").read_text())
    except FileNotFoundError:
        raise EvaluationError(f"{folder} holds no finished run: run.json is missing. Make one with evaluate.") from None
    except ValueError:
        raise EvaluationError(f"{folder / 'run.json'} is not readable; evaluate again into another folder.") from None
    if about.get("format") != FORMAT:
        raise EvaluationError(
            f"{folder} was written in format {about.get('format')}, this version reads {FORMAT}; evaluate again."
        )
    broken = folder / "broken.csv"
    return Run(
        pd.read_parquet(folder / "objects.parquet"),
        pd.read_parquet(folder / "images.parquet"),
        pd.read_csv(broken) if broken.stat().st_size > 1 else pd.DataFrame(),
        about,
    )


def load_model_of_run(text: str) -> Run:
    """Read what one model did in a run: `folder`, or `folder@model` where it holds several.

    Raises
    ------
    EvaluationError
        Those of `load_run`; or if the run does not hold that model, or holds several and none is named.
    """
    folder, at, model = text.rpartition("@")
    if not at or Path(text).exists():
        folder, model = text, ""
    run = load_run(Path(folder))
    models = list(run.about["models"])
    if not model and len(models) == 1:
        return run
    if model not in models:
        came = f"there is no {model!r}" if model else "name one"
        raise EvaluationError(f"{folder} holds {', '.join(models)}; {came}: {folder}@{models[0]}.")
    objects, images, broken = (
        table[table["model"] == model] if len(table) else table for table in (run.objects, run.images, run.broken)
    )
    return Run(objects, images, broken, {**run.about, "models": {model: run.about["models"][model]}})
