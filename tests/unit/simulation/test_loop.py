"""Runs from the first image to the last, killed or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from colour_segmenter import ColourSegmenter
from sam_backend.finetune.versions import Versions
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.progress import no_progress
from sam_backend.segmenters.cache import EmbeddingCache
from sam_evaluation.simulation.image_set import EmbeddingCaches
from sam_evaluation.simulation.journal import ImageLabelled, ImagesChosen, Journal, ModelTuned, QualityMeasured
from sam_evaluation.simulation.loop import Conditions, Loop, RunSpec, is_finished
from sam_evaluation.simulation.plans import Plan
from sam_evaluation.simulation.simulation_data import SimulationData

pytestmark = pytest.mark.slow

Run = Callable[..., Journal]


RANKED = Plan(memory=True, strategy="gain")


@pytest.fixture
def run(
    tmp_path: Path,
    data: SimulationData,
    conditions: Conditions,
    embeddings: EmbeddingCaches,
    segmenter: ColourSegmenter,
) -> Run:
    def go(plan: Plan, folder: Path = tmp_path / "run") -> Journal:
        spec = RunSpec(plan, 0, data, conditions, folder / plan.name)
        Loop(spec, lambda checkpoint: segmenter, embeddings).run()
        assert is_finished(spec)
        return Journal(spec.journal)

    return go


def test_the_memory_proposes_objects_like_the_accepted_ones(run: Run) -> None:
    plain, memory = (run(plan) for plan in (Plan(), Plan(memory=True)))
    assert [event.name for event in plain.of(ImageLabelled)] == [event.name for event in memory.of(ImageLabelled)]
    assert all({action.fate for action in event.actions} == {"outlined"} for event in plain.of(ImageLabelled))
    first, *others = memory.of(ImageLabelled)
    assert {action.fate for action in first.actions} == {"outlined"}
    accepted = [action for event in others for action in event.actions if action.fate == "accepted"]
    assert len(accepted) > len(others)
    assert plain.of(QualityMeasured) == []


def test_quality_is_measured_after_each_round(run: Run) -> None:
    measured = run(Plan(memory=True)).of(QualityMeasured)
    assert [event.images for event in measured] == [1, 2, 3, 4, 6]
    assert set(measured[-1].classes) == {"red", "green"}
    assert measured[-1].pixel_iou > 0.7
    assert measured[-1].box is None


def test_what_a_trained_proposer_proposes_comes_in_the_memorys_place(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="the torch extra is not installed")
    from sam_evaluation.simulation import simulated_proposer

    trained: list[tuple[int, int]] = []

    class Nothing:
        name = "proposer-1"

        def propose(self, segmenter: object, embedding: object, *, limit: int | None = None) -> list[object]:
            return []

    def train(accepted: list[object], segmenter: object, images: int, *_: object) -> ModelTuned:
        trained.append((images, len(accepted)))
        return ModelTuned(images, "proposer_run-0001", True, "better")

    monkeypatch.setattr(simulated_proposer, "train", train)
    monkeypatch.setattr(Loop, "_load_proposer", lambda loop: Nothing() if trained else None)
    labelled = run(Plan(memory=True, proposer=True)).of(ImageLabelled)
    assert trained == [(4, 4)]
    fates = [{action.fate for action in event.actions} for event in labelled]
    assert "accepted" in fates[3]
    assert fates[4] == fates[5] == {"outlined"}


def test_a_proposer_waits_for_enough_images(tmp_path: Path, segmenter: ColourSegmenter) -> None:
    pytest.importorskip("torch", reason="the torch extra is not installed")
    from sam_evaluation.simulation.simulated_proposer import train

    tuned = train([], segmenter, 4, 0, tmp_path / "work", Versions(tmp_path / "models"), no_progress)
    assert (tuned.version, tuned.passed) == ("", False)
    assert "accept masks on" in tuned.reason


@pytest.mark.parametrize("strategy", ["gain", "uncertainty", "diversity"])
def test_a_strategy_labels_the_same_images_in_an_order_of_its_own(run: Run, strategy: str) -> None:
    stream, chosen = run(Plan(memory=True)), run(Plan(memory=True, strategy=strategy))
    names = [[event.name for event in journal.of(ImageLabelled)] for journal in (stream, chosen)]
    assert names[0][0] == names[1][0]
    assert names[0] != names[1]
    assert sorted(names[0]) == sorted(names[1])
    assert [event.images for event in chosen.of(ImagesChosen)] == [1, 2, 3, 4]


class Killed(BaseException):
    """Ends a run like a killed process: nothing catches it."""


def killed_at(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, call: int, *, after: bool) -> None:
    """Raise Killed at the `call`-th call of a method, before or after its work."""
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
    """The journal of an uninterrupted run, once there is one."""
    return {}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (Journal, "append", 1),
        (Journal, "append", 3),
        (Journal, "append", 12),
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

    def label(self: Loop, images: int, name: str) -> ImageLabelled:
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
    assert labelled == [1, 2, 3, 4, 5, 5, 6]


def test_an_image_is_encoded_once_for_all_runs(run: Run, segmenter: ColourSegmenter) -> None:
    for plan in (Plan(), Plan(memory=True), RANKED):
        run(plan)
    assert segmenter.encoded == 6 + 3


def test_an_image_that_cannot_be_read_costs_nothing_and_teaches_nothing(
    tmp_path: Path,
    data: SimulationData,
    conditions: Conditions,
    embeddings: EmbeddingCaches,
    segmenter: ColourSegmenter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gone = replace(data, names=(*data.names[:-1], "gone.png"))
    for strategy in ("random", "gain"):
        spec = RunSpec(Plan(memory=True, strategy=strategy), 0, gone, conditions, tmp_path / strategy)
        Loop(spec, lambda checkpoint: segmenter, embeddings).run()
        (broken,) = [event for event in Journal(spec.journal).of(ImageLabelled) if event.problem]
        assert (broken.name, broken.clicks) == ("gone.png", 0)
        assert len(Journal(spec.journal).of(ImageLabelled)) == 6
    assert caplog.messages == []


def test_embeddings_of_a_tuned_model_are_not_kept_with_those_of_the_shipped(embeddings: EmbeddingCaches) -> None:
    assert isinstance(embeddings.shipped, EmbeddingCache)
    assert embeddings.of(ColourSegmenter("colour-1")) is embeddings.shipped
    assert embeddings.of(ColourSegmenter("colour-2")) is embeddings.tuned
