"""A finished simulation, as the report reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sam_evaluation.datasets.dataset import DatasetCard
from sam_evaluation.report.numbers import count
from sam_evaluation.simulation.loop import Conditions
from sam_evaluation.simulation.run_tables import RunTables


@dataclass(frozen=True, eq=False)
class SimulationResult:
    """A finished simulation.

    Attributes
    ----------
    tables : RunTables, all events.
    arms, strategies : names of the arms and of the strategies.
    seeds : number of seeds.
    conditions : Conditions of all runs.
    card : DatasetCard of the data set.
    data : the data set as the user named it.
    fingerprint : str, changes when the files of the data set change.
    measured : number of images on which quality was measured.
    version : version of the shipped model.
    people : columns value, low and high of the mean IoU of two people's outlines of an object, from `people_agreement`;
        None if every image has one annotator.
    """

    tables: RunTables
    arms: Sequence[str]
    strategies: Sequence[str]
    seeds: int
    conditions: Conditions
    card: DatasetCard
    data: str
    fingerprint: str
    measured: int
    version: str
    people: dict[str, float] | None = None

    @property
    def title(self) -> str:
        """What was labelled, for a heading."""
        return f"{count(self.conditions.budget, 'image')} of {self.card.title.partition(',')[0]}"
