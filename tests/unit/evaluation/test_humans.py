"""Agreement of people who outlined the same images."""

from __future__ import annotations

import numpy as np
import pytest

from sam_backend.samples import Object, Sample
from sam_evaluation.datasets.dataset import DatasetCard
from sam_evaluation.humans import human_agreement


class Outlined:
    card = DatasetCard("x", "x", "x", "x")

    def __init__(self, people: int) -> None:
        self.people = people

    def names(self) -> list[str]:
        return ["one"]

    def load(self, name: str) -> Sample:
        objects = []
        for person in range(self.people):
            mask = np.zeros((20, 40), bool)
            mask[:, : 20 + 5 * person] = True
            objects += [Object(mask, "left", person), Object(~mask, "right", person)]
        return Sample(name, np.zeros((20, 40, 3), np.uint8), tuple(objects))


def test_each_object_is_compared_with_the_next_persons_that_overlaps_it_most() -> None:
    agreement = human_agreement(Outlined(3))
    assert agreement["iou"].tolist() == pytest.approx([20 / 25, 15 / 20, 25 / 30, 10 / 15, 20 / 30, 10 / 20])
    assert agreement["annotator"].tolist() == [0, 0, 1, 1, 2, 2]


def test_one_person_alone_agrees_with_nobody() -> None:
    assert human_agreement(Outlined(1)).empty
