"""The journal of a run, however the run ended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sam_evaluation.simulation.actions import Fate, Painting
from sam_evaluation.simulation.annotator import Action
from sam_evaluation.simulation.journal import (
    ImageLabelled,
    ImagesChosen,
    Journal,
    ModelTuned,
    QualityMeasured,
    RecordedAction,
    images_done,
)

MASK = np.zeros((6, 9), bool)
MASK[2:4, 3:8] = True
LABELLED = ImageLabelled(
    1,
    "a/b.png",
    MASK.shape,
    (
        RecordedAction.of(
            Action(
                Fate.OUTLINED,
                "pit",
                3,
                painted=True,
                tools="pnp",
                reached=(0.25, 0.5, 0.75),
                borders=(0.5, 0.5, 1.0),
                paintings=(Painting(1, "bs", (0.25, 1.0), (0.5, 1.0)),),
                mask=MASK,
            )
        ),
        RecordedAction.of(Action(Fate.DELETED, "crack", 1, iou=0.25, score=0.5)),
    ),
)
EVENTS = [
    LABELLED,
    ModelTuned(1, "nano-0001", True, "better"),
    QualityMeasured(1, "nano-1", {"crack": 0.2, "pit": 0.4}, 0.5, 0.6),
    ImagesChosen(1, ("c", "d")),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    journal = Journal(tmp_path / "run" / "journal.jsonl")
    for event in EVENTS:
        journal.append(event)
    return journal.path


def test_events_are_read_as_they_were_written(file: Path) -> None:
    journal = Journal(file)
    assert journal.events == EVENTS
    assert journal.at(ModelTuned, 1) == EVENTS[1]
    assert journal.at(ModelTuned, 2) is None
    assert images_done(file) == 1
    assert LABELLED.clicks == 4
    ((label, mask),) = journal.of(ImageLabelled)[0].accepted()
    assert label == "pit"
    np.testing.assert_array_equal(mask, MASK)
    assert journal.of(QualityMeasured)[0].pixel_iou == pytest.approx(0.3)


def test_an_incomplete_last_line_is_dropped_and_written_again(file: Path) -> None:
    whole = file.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for end in range(last, len(whole)):
        file.write_bytes(whole[:end])
        journal = Journal(file)
        assert journal.events == EVENTS[:3]
        assert file.read_bytes() == whole[:last]
    journal.append(EVENTS[3])
    assert file.read_bytes() == whole


def test_a_line_of_zeros_after_a_power_cut_is_dropped(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole + b"\0" * 20)
    assert Journal(file).events == EVENTS
    assert file.read_bytes() == whole
