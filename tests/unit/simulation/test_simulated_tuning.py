"""The product's fine-tuning in a run: it learns the accepted masks once, and then its model serves."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

from colour_segmenter import ColourSegmenter  # noqa: E402
from sam_backend.finetune.tuning_job import TuningJob, TuningOutcome  # noqa: E402 - needs torch
from sam_backend.finetune.tuning_recipe import recipe_for  # noqa: E402
from sam_backend.finetune.verdict import Verdict  # noqa: E402
from sam_backend.finetune.versions import Version, Versions  # noqa: E402
from sam_backend.memory.features import AcceptedMask  # noqa: E402
from sam_backend.second_look import Focus  # noqa: E402
from sam_evaluation.datasets.dataset import Sample  # noqa: E402
from sam_evaluation.datasets.registry import DatasetSpec  # noqa: E402
from sam_evaluation.simulation import simulated_tuning  # noqa: E402
from sam_evaluation.simulation.image_set import EmbeddingCaches  # noqa: E402
from sam_evaluation.simulation.journal import ImageLabelled, Journal, ModelTuned, QualityMeasured  # noqa: E402
from sam_evaluation.simulation.loop import Conditions, Loop, RunSpec  # noqa: E402
from sam_evaluation.simulation.plans import Plan  # noqa: E402
from sam_evaluation.simulation.simulation_data import SimulationData  # noqa: E402

pytestmark = pytest.mark.slow

PLAN = Plan(memory=True, finetune=True)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Replace fine-tuning: count the calls, and make a version that passes if `passes` is set."""
    state = SimpleNamespace(jobs=[], seen=[], passes=True, killed_before_promotion=False)

    def finetune(job: TuningJob, work: Path, versions: Versions, tell: object) -> TuningOutcome:
        state.jobs.append(job)
        state.seen.append({name: job.source.load(name) for name in job.source.names()})
        verdict = Verdict(state.passes, "box: iou 0.5 -> 0.6.", {})
        with versions.staging(job.model) as folder:
            (folder / "encoder.onnx").write_bytes(b"weights")
            made = versions.add(
                Version("", job.model, data=f"{job.data}, 3 masks", passed=verdict.passed, reason=verdict.reason),
                folder,
            )
        if state.killed_before_promotion:
            state.killed_before_promotion = False
            raise KeyboardInterrupt
        if verdict.passed:
            versions.promote(made.name)
        return TuningOutcome(made, verdict, "All steps were done.")

    monkeypatch.setattr(simulated_tuning, "finetune", finetune)
    return state


@pytest.fixture
def spec(tmp_path: Path, data: SimulationData, conditions: Conditions) -> RunSpec:
    return RunSpec(PLAN, 0, data, conditions, tmp_path / "run")


def go(spec: RunSpec, embeddings: EmbeddingCaches) -> Journal:
    def load(checkpoint: Path | None) -> ColourSegmenter:
        return ColourSegmenter("colour-1" if checkpoint is None else f"colour-{checkpoint.name}")

    Loop(spec, load, embeddings).run()
    return Journal(spec.journal)


def test_a_version_that_passed_the_gate_serves_from_then_on_and_is_measured(
    spec: RunSpec, embeddings: EmbeddingCaches, trained: SimpleNamespace
) -> None:
    journal = go(spec, embeddings)
    assert journal.of(ModelTuned) == [ModelTuned(4, "nano-0001", True, "box: iou 0.5 -> 0.6.")]
    versions = {event.images: event.version for event in journal.of(QualityMeasured)}
    assert (versions[3], versions[4], versions[6]) == ("colour-1", "colour-nano-0001", "colour-nano-0001")
    assert all(event.box and event.click for event in journal.of(QualityMeasured))
    # Its memory knows the masks that were accepted before.
    assert any(action.fate == "accepted" for action in journal.of(ImageLabelled)[4].actions)
    job = trained.jobs[0]
    assert (job.recipe.steps, job.recipe.seed, job.recipe.checks) == (200, 0, 5)
    assert not (spec.folder / "tunings" / "00004").exists()


def test_it_learns_from_the_accepted_masks_alone(
    spec: RunSpec, embeddings: EmbeddingCaches, trained: SimpleNamespace
) -> None:
    journal = go(spec, embeddings)
    (seen,) = trained.seen
    labelled = {f"{event.name}.png": event for event in journal.of(ImageLabelled)[:4]}
    assert set(seen) == set(labelled)
    for name, sample in seen.items():
        masks = dict(labelled[name].accepted())
        assert {target.label for target in sample.objects} == set(masks)
        for target in sample.objects:
            np.testing.assert_array_equal(target.mask, masks[target.label])


def test_a_version_that_did_not_pass_is_recorded_and_does_not_serve(
    spec: RunSpec, embeddings: EmbeddingCaches, trained: SimpleNamespace
) -> None:
    trained.passes = False
    journal = go(spec, embeddings)
    assert [event.passed for event in journal.of(ModelTuned)] == [False]
    assert {event.version for event in journal.of(QualityMeasured)} == {"colour-1"}


@pytest.mark.parametrize("passes", [True, False])
def test_after_a_kill_a_version_that_was_made_is_used_and_not_made_again(
    spec: RunSpec, embeddings: EmbeddingCaches, trained: SimpleNamespace, passes: bool
) -> None:
    trained.passes, trained.killed_before_promotion = passes, True
    with pytest.raises(KeyboardInterrupt):
        go(spec, embeddings)
    journal = go(spec, embeddings)
    assert len(trained.jobs) == 1
    assert journal.of(ModelTuned) == [ModelTuned(4, "nano-0001", passes, "box: iou 0.5 -> 0.6.")]
    assert Versions(spec.folder / "models").current("nano") == ("nano-0001" if passes else "shipped")


def test_after_a_kill_a_recorded_training_is_not_repeated(
    spec: RunSpec, embeddings: EmbeddingCaches, trained: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Loop, images: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(simulated_tuning, "tune", lambda *_: ModelTuned(4, "", False, "nothing was better"))
        own = Loop._measure
        patch.setattr(Loop, "_measure", lambda self, images: (own if images < 4 else killed)(self, images))
        with pytest.raises(KeyboardInterrupt):
            go(spec, embeddings)
    assert go(spec, embeddings).of(ModelTuned) == [ModelTuned(4, "", False, "nothing was better")]
    assert trained.jobs == []


def test_too_few_masks_are_recorded_and_the_run_goes_on(spec: RunSpec, embeddings: EmbeddingCaches) -> None:
    journal = go(spec, embeddings)
    (tuned,) = journal.of(ModelTuned)
    assert not tuned.passed
    assert "A training needs accepted masks on about" in tuned.reason
    assert len(journal.of(ImageLabelled)) == 6


def test_masks_are_written_under_stable_names_for_any_sample_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = [Sample(name, rng.integers(0, 255, (20, 30, 3), np.uint8)) for name in ("a/b.png", "a_b.png", "é?.tif")]
    mask = np.zeros((20, 30), bool)
    mask[5:15, 5:15] = True
    for _ in range(2):
        simulated_tuning.write_masks(tmp_path, [(sample, [AcceptedMask(mask, "pit of a kind")]) for sample in samples])
    dataset = DatasetSpec("masks", tmp_path).open()
    assert len(dataset.names()) == 3
    for name in dataset.names():
        (target,) = dataset.load(name).objects
        assert target.label == "pit of a kind"
        np.testing.assert_array_equal(target.mask, mask)


def test_a_recipe_is_shortened_and_otherwise_unchanged() -> None:
    cut = simulated_tuning.TuningSettings.small("nano", recipe_for("nano"), 60, 3, Focus.AUTO).recipe
    assert (cut.steps, cut.seed, cut.parts) == (60, 3, recipe_for("nano").parts)
