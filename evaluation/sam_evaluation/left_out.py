"""What the readers of data sets did not use, counted by reason, as rows and as sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from sam_backend.samples import Sample
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.instances import UNDER_MIN_AREA
from sam_evaluation.datasets.tally import Tally
from sam_evaluation.report.numbers import count

COLUMNS = ("dataset", "sample", "what", "reason", "count", "example")
"""The columns of `left_out.csv`; `sample` is "" for what belongs to no sample."""

LEFT_OUT, NOTE = "left out", "note"
"""The values of `what`: annotations or files that were not used; something that was read otherwise than written."""


@dataclass(frozen=True)
class Reason:
    """One reason, over all samples of a data set.

    Attributes
    ----------
    dataset : str, the name in the tables.
    what : str, `LEFT_OUT` or `NOTE`.
    reason : str.
    count : int, how often it was.
    images : int, the number of samples; 0 for what belongs to no sample.
    first : str, the first place; "" where it is not known.
    """

    dataset: str
    what: str
    reason: str
    count: int
    images: int
    first: str

    def __str__(self) -> str:
        where = f" in {count(self.images, 'image')}" if self.images else ""
        first = f"; first: {self.first}" if self.first else ""
        amount = f"{self.count:,} left out{where}" if self.what == LEFT_OUT else f"note{where}"
        return f"{self.dataset}: {amount}: {self.reason}{first}."


def rows_of_dataset(dataset: Dataset) -> list[dict[str, Any]]:
    """Return the rows of a data set as a whole, without the column `dataset`."""
    rows = [_row("", LEFT_OUT, reason, number) for reason, number in dataset.left_out().items() if number]
    return rows + [_row("", NOTE, note, 1) for note in dataset.notes()]


def rows_of_sample(sample: Sample) -> list[dict[str, Any]]:
    """Return the rows of one sample, without the column `dataset`."""
    return _rows(sample.name, sample.left_out, sample.examples, sample.notes)


def rows_of_tally(name: str, tally: Tally) -> list[dict[str, Any]]:
    """Return the rows of what was counted while the image `name` was read, without the column `dataset`."""
    return _rows(name, tally.counts, tally.examples, tally.notes)


def reasons(table: pd.DataFrame, *, with_rule: bool = False) -> list[Reason]:
    """Sum up `Run.left_out`: one `Reason` for each data set and reason, in the order of the rows.

    Parameters
    ----------
    table : DataFrame with the columns `COLUMNS`; empty for a run without.
    with_rule : bool, also `UNDER_MIN_AREA`.
    """
    found = []
    for _, rows in table.groupby(["dataset", "what", "reason"], sort=False) if len(table) else ():
        head = rows.iloc[0]
        if head["reason"] == UNDER_MIN_AREA and not with_rule:
            continue
        images = rows["sample"][rows["sample"] != ""].nunique()
        first = ", ".join(part for part in (head["sample"], head["example"]) if part)
        found.append(Reason(head["dataset"], head["what"], head["reason"], int(rows["count"].sum()), images, first))
    return found


def table_of(rows: Iterable[Mapping[Any, Any]]) -> pd.DataFrame:
    """Return rows as the table `Run.left_out`."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS)).drop_duplicates(ignore_index=True)


@dataclass(frozen=True, eq=False)
class CountedDataset(Dataset):
    """A data set that remembers what was left out of the samples that were read.

    Attributes
    ----------
    dataset : Dataset that is read.
    name : str, its name in sentences.
    """

    dataset: Dataset
    name: str
    _rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def card(self) -> DatasetCard:  # type: ignore[override]
        """The card of the data set."""
        return self.dataset.card

    def names(self) -> Sequence[str]:
        """Return the names of all samples."""
        return self.dataset.names()

    def load(self, name: str) -> Sample:
        """Read one sample."""
        sample = self.dataset.load(name)
        self._rows[name] = rows_of_sample(sample)
        return sample

    def sentences(self) -> list[str]:
        """Return one sentence for each reason, of the set and of the samples that were read."""
        rows = [*rows_of_dataset(self.dataset), *(row for name in sorted(self._rows) for row in self._rows[name])]
        return [str(reason) for reason in reasons(table_of({"dataset": self.name, **row} for row in rows))]


def _rows(
    name: str, counts: Mapping[str, int], examples: Mapping[str, str], notes: Sequence[str]
) -> list[dict[str, Any]]:
    rows = [
        _row(name, LEFT_OUT, reason, number, examples.get(reason, "")) for reason, number in counts.items() if number
    ]
    return rows + [_row(name, NOTE, note, 1) for note in notes]


def _row(sample: str, what: str, reason: str, number: int, example: str = "") -> dict[str, Any]:
    return {"sample": sample, "what": what, "reason": reason, "count": number, "example": example}
