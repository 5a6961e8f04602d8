"""Runs from their beginning to their end, killed or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from colour_segmenter import ColourSegmenter
from sam_backend.memory.memory import ProjectMemory
from sam_backend.segmenters.cache import EmbeddingCache
from sam_evaluation.simulation.data import Data
from sam_evaluation.simulation.images import Embeddings
from sam_evaluation.simulation.journal import Chosen, Journal, Labelled, Measured
from sam_evaluation.simulation.loop import Conditions, Loop, Task, is_done
from sam_evaluation.simulation.plans import Plan

pytestmark = pytest.mark.slow

Run = Callable[..., Journal]


RANKED = Plan(memory=True, strategy="gain")


@pytest.fixture
def run(tmp_path: Path, data: Data, conditions: Conditions, embeddings: Embeddings, segmenter: ColourSegmenter) -> Run:
    def go(plan: Plan, folder: Path = tmp_path / "run") -> Journal:
        task = Task(plan, 0, data, conditions, folder / plan.name)
        Loop(task, lambda checkpoint: segmenter, embeddings).run(lambda images, doing: None)
        assert is_done(task)
        return Journal(task.journal)

    return go


def test_the_memory_proposes_what_is_like_what_was_accepted_before(run: Run) -> None:
    plain, memory = (run(plan) for plan in (Plan(), Plan(memory=True)))
    assert [each.name for each in plain.of(Labelled)] == [each.name for each in memory.of(Labelled)]
    assert all({action.fate for action in each.actions} == {"outlined"} for each in plain.of(Labelled))
    first, *others = memory.of(Labelled)
    assert {action.fate for action in first.actions} == {"outlined"}
    accepted = [action for each in others for action in each.actions if action.fate == "accepted"]
    assert len(accepted) > len(others)
    assert plain.of(Measured) == []


def test_what_the_memory_has_learnt_is_measured_after_each_round(run: Run) -> None:
    found = run(Plan(memory=True)).of(Measured)
    assert [each.images for each in found] == [1, 2, 3, 4, 6, 8]
    assert set(found[-1].classes) == {"red", "green"}
    assert found[-1].pixel_iou > 0.7
    assert found[-1].box is None


@pytest.mark.parametrize("strategy", ["gain", "uncertainty", "diversity"])
def test_a_strategy_labels_the_same_images_in_an_order_of_its_own(run: Run, strategy: str) -> None:
    stream, chosen = run(Plan(memory=True)), run(Plan(memory=True, strategy=strategy))
    names = [[each.name for each in journal.of(Labelled)] for journal in (stream, chosen)]
    assert names[0][0] == names[1][0]
    assert names[0] != names[1]
    assert sorted(names[0]) == sorted(names[1])
    assert [each.images for each in chosen.of(Chosen)] == [1, 2, 3, 4, 6]


class Killed(BaseException):
    """As a process ends that is killed: nothing catches it."""


def killed_at(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, call: int, *, after: bool) -> None:
    """Let a method end everything at its `call`-th call, before or after it did its work."""
    own, calls = getattr(owner, name), []

    def wrapped(*arguments: object, **options: object) -> object:
        calls.append(None)
        if len(calls) == call and not after:
            raise Killed
        result = own(*arguments, **options)
        if len(calls) == call:
            raise Killed
        return result

    monkeypatch.setattr(owner, name, wrapped)


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """What a run that nothing ended wrote, once it is there."""
    return {}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (Journal, "append", 1),
        (Journal, "append", 3),
        (Journal, "append", 14),
        (ProjectMemory, "catch_up", 3),
        (ProjectMemory, "recalibrate", 3),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_run_killed_at_any_moment_goes_on_to_the_same_rows(
    run: Run,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    name: str,
    call: int,
    after: bool,
) -> None:
    if not whole:
        whole["rows"] = run(RANKED, tmp_path / "whole").path.read_bytes()
    with monkeypatch.context() as patch:
        killed_at(patch, owner, name, call, after=after)
        with pytest.raises(Killed):
            run(RANKED)
    assert run(RANKED).path.read_bytes() == whole["rows"]


def test_no_image_is_labelled_twice(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled: list[int] = []
    own = Loop._label

    def label(self: Loop, images: int, name: str) -> Labelled:
        if images == 5 and images not in labelled:
            labelled.append(images)
            raise Killed
        labelled.append(images)
        return own(self, images, name)

    monkeypatch.setattr(Loop, "_label", label)
    with pytest.raises(Killed):
        run(Plan())
    run(Plan())
    run(Plan())
    assert labelled == [1, 2, 3, 4, 5, 5, 6, 7, 8]


def test_an_image_is_encoded_once_for_all_runs(run: Run, segmenter: ColourSegmenter) -> None:
    for plan in (Plan(), Plan(memory=True), RANKED):
        run(plan)
    assert segmenter.encoded == 8 + 3


def test_an_image_that_cannot_be_read_costs_nothing_and_teaches_nothing(
    tmp_path: Path,
    data: Data,
    conditions: Conditions,
    embeddings: Embeddings,
    segmenter: ColourSegmenter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gone = replace(data, names=(*data.names[:-1], "gone.png"))
    for strategy in ("random", "gain"):
        task = Task(Plan(memory=True, strategy=strategy), 0, gone, conditions, tmp_path / strategy)
        Loop(task, lambda checkpoint: segmenter, embeddings).run(lambda images, doing: None)
        (broken,) = [each for each in Journal(task.journal).of(Labelled) if each.problem]
        assert (broken.name, broken.clicks) == ("gone.png", 0)
        assert len(Journal(task.journal).of(Labelled)) == 8
    assert caplog.messages == []


def test_embeddings_of_a_tuned_model_are_not_kept_with_those_of_the_shipped(embeddings: Embeddings) -> None:
    assert isinstance(embeddings.kept, EmbeddingCache)
    assert embeddings.of(ColourSegmenter("colour-1")) is embeddings.kept
    assert embeddings.of(ColourSegmenter("colour-2")) is embeddings.passing
