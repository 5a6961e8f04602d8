"""Opens the data sets of a run again."""

from __future__ import annotations

from typing import Any

from sam_backend.stores import place
from sam_evaluation.datasets.dataset import Dataset
from sam_evaluation.datasets.objects import ObjectRule
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.errors import EvaluationError


def object_rule(about: dict[str, Any]) -> ObjectRule:
    """Return the rule by which masks became the objects of a run; `about` is the content of `run.json`."""
    return ObjectRule(**about["settings"]["rule"])


def open_dataset(about: dict[str, Any], name: str) -> Dataset:
    """Return a data set of a run by its name in the tables; `about` is the content of `run.json`.

    Raises
    ------
    EvaluationError
        If its folder no longer exists.
    """
    card = about["datasets"][name]
    folder = place(card["folder"])
    if not folder.exists():
        raise EvaluationError(f"The images of {name} are no longer in {folder}; put them back and run report again.")
    return DatasetSpec(card["format"], folder, card["split"]).open(object_rule(about))
