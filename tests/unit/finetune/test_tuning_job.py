"""From accepted masks to a version, and everything that may go wrong on the way."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

from blob_images import write_blobs  # noqa: E402
from sam_backend.errors import SamInspectError  # noqa: E402
from sam_backend.finetune import trainable, tuning_job  # noqa: E402
from sam_backend.finetune.onnx_export import export_nano  # noqa: E402 - needs torch
from sam_backend.finetune.training_loop import NonFiniteLossError  # noqa: E402
from sam_backend.finetune.training_status import FAILED, FINISHED, TrainingStatus, read_status  # noqa: E402
from sam_backend.finetune.tuner import Check, Tuner  # noqa: E402
from sam_backend.finetune.tuning_job import TuningJob, finetune  # noqa: E402
from sam_backend.finetune.tuning_recipe import TuningRecipe  # noqa: E402
from sam_backend.finetune.verdict import Verdict  # noqa: E402
from sam_backend.finetune.versions import SHIPPED, Versions  # noqa: E402
from sam_backend.segmenters import Segmenter  # noqa: E402
from sam_backend.segmenters.model_registry import load_segmenter  # noqa: E402
from sam_backend.segmenters.nano import segmenter  # noqa: E402
from sam_evaluation.datasets.mask_folder import MaskFolder  # noqa: E402
from threshold_segmenter import ThresholdSegmenter  # noqa: E402

pytestmark = pytest.mark.slow

CHECK = Tuner.check
RECIPE = TuningRecipe(steps=3, images=1, prompts=1, views=1, checks=3)


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blobs(tmp_path_factory.mktemp("blobs"), 60, objects=1)


class FixedGate:
    """A gate that measures nothing and always gives the same verdict."""

    fewest_images = 10

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict

    def __call__(self, serving: Segmenter, candidate: Segmenter, names: Sequence[str], *_: object) -> Verdict:
        assert serving.name == candidate.name == "nano"
        assert len(names) >= self.fewest_images
        return self.verdict


BETTER = FixedGate(Verdict(True, "click: much better.", {"click.iou": [0.5, 0.6]}))
WORSE = FixedGate(Verdict(False, "box: worse.", {}))


@pytest.fixture
def job(blobs: Path) -> TuningJob:
    return TuningJob(MaskFolder(blobs), f"masks:{blobs}", "nano", RECIPE, BETTER)


def fail(tuner: Tuner) -> float:
    raise NonFiniteLossError(float("nan"), tuner.step)


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "models")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Export and load nothing new, and find every check better: all of them are tested by themselves."""

    def check(self: Tuner) -> Check:
        found = Check(self.step, float("nan"), 0.5 + self.step / 10, 0.5)
        self.best = {name: value.clone() for name, value in self.optimisation.average.values.items()}
        self.checks.append(found)
        return found

    def export(_: object, folder: Path) -> None:
        for name in ("encoder.onnx", "decoder.onnx", "outline.onnx"):
            shutil.copy(Path(segmenter.__file__).with_name(name), folder)

    def load(name: str, folder: Path | None, **_: object) -> ThresholdSegmenter:
        segmenter = ThresholdSegmenter(f"nano-{folder}")
        segmenter.name = name
        return segmenter

    monkeypatch.setattr(Tuner, "check", check)
    monkeypatch.setattr(trainable, "export_nano", export)
    monkeypatch.setattr(tuning_job, "load_segmenter", load)


def test_what_passed_the_gate_serves_under_a_version_of_its_own(
    job: TuningJob, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainable, "export_nano", export_nano)
    monkeypatch.setattr(tuning_job, "load_segmenter", load_segmenter)
    statuses: list[TrainingStatus] = []
    outcome = finetune(job, tmp_path / "work", versions, statuses.append)
    assert outcome.version is not None
    assert versions.current("nano") == outcome.version.name == "nano-0001"
    served = load_segmenter("nano", versions.checkpoint("nano"), threads=1)
    assert served.version == outcome.version.model_version != load_segmenter("nano", threads=1).version
    assert (outcome.version.parent, outcome.version.reason) == (SHIPPED, "click: much better.")
    assert outcome.version.data.endswith(" masks")
    folder = versions.folder_of("nano-0001")
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    reached = read_status(tmp_path / "work")
    assert reached is not None
    assert (reached.state, reached.step, reached.steps) == (FINISHED, 3, 3)
    assert reached == statuses[-1]
    assert not (tmp_path / "work" / "checkpoint.pt").exists()
    assert not (tmp_path / "work" / "embeddings").exists()


def test_what_did_not_pass_is_kept_beside_with_the_reason(
    job: TuningJob, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = finetune(replace(job, gate=WORSE), tmp_path / "work", versions)
    assert outcome.version is not None
    assert versions.current("nano") == SHIPPED
    assert [(each.name, each.reason, each.passed) for each in versions.all()] == [("nano-0001", "box: worse.", False)]


def test_a_training_killed_between_two_steps_goes_on_and_what_serves_is_untouched(
    job: TuningJob, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    take = Tuner.take_step

    def killed(self: Tuner) -> float:
        steps.append(self.step)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return take(self)

    monkeypatch.setattr(Tuner, "take_step", killed)
    with pytest.raises(KeyboardInterrupt):
        finetune(job, tmp_path / "work", versions)
    assert versions.current("nano") == SHIPPED
    assert versions.all() == []
    finetune(job, tmp_path / "work", versions)
    assert steps == [0, 1, 2, 2]
    assert versions.current("nano") == "nano-0001"


def test_a_training_killed_while_it_is_judged_goes_on_without_training_again(
    job: TuningJob, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FixedGate, "__call__", killed)
        with pytest.raises(KeyboardInterrupt):
            finetune(job, tmp_path / "work", versions)
    assert (versions.all(), versions.current("nano")) == ([], SHIPPED)
    monkeypatch.setattr(Tuner, "take_step", killed)
    finetune(job, tmp_path / "work", versions)
    assert versions.current("nano") == "nano-0001"


def test_a_loss_that_is_no_number_ends_the_training_and_the_best_before_it_is_judged(
    job: TuningJob, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Tuner.take_step
    monkeypatch.setattr(Tuner, "take_step", lambda self: fail(self) if self.step == 2 else take(self))
    outcome = finetune(job, tmp_path / "work", versions)
    assert "The loss became nan after step 2" in outcome.ended
    assert "of step 2, were kept" in outcome.ended
    assert versions.current("nano") == "nano-0001"


def test_a_training_that_found_nothing_better_makes_nothing(
    job: TuningJob, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tuner, "take_step", fail)
    outcome = finetune(job, tmp_path / "work", versions)
    assert outcome.version is None
    assert "nothing was made" in outcome.verdict.reason
    assert versions.all() == []


def test_a_full_disk_is_reported_and_leaves_no_half_file(
    job: TuningJob, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Tuner) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "work" / "checkpoint.pt"))

    with monkeypatch.context() as patch:
        patch.setattr(Tuner, "save", full)
        with pytest.raises(SamInspectError, match=r"checkpoint\.pt: No space left on device; make room"):
            finetune(job, tmp_path / "work", versions)
    reached = read_status(tmp_path / "work")
    assert reached is not None
    assert reached.state == FAILED
    assert "No space" in reached.result
    assert versions.current("nano") == SHIPPED
    assert finetune(job, tmp_path / "work", versions).version is not None


def test_an_unforeseen_error_fails_the_training_and_the_next_start_begins_anew(
    job: TuningJob, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Tuner, after_step: object) -> None:
        self.save()
        raise ValueError("need at least one array to concatenate")

    with monkeypatch.context() as patch:
        patch.setattr(Tuner, "run", broken)
        with pytest.raises(SamInspectError, match=r"failed unexpectedly \(ValueError\)"):
            finetune(job, tmp_path / "work", versions)
    reached = read_status(tmp_path / "work")
    assert reached is not None
    assert reached.state == FAILED
    assert "need at least one array" in (tmp_path / "work" / "error.txt").read_text()
    assert not (tmp_path / "work" / "checkpoint.pt").exists()
    assert finetune(job, tmp_path / "work", versions).version is not None


def test_a_damaged_promoted_version_is_not_tuned_from(
    job: TuningJob, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finetune(job, tmp_path / "work", versions)
    (versions.folder_of("nano-0001") / "weights.safetensors").write_bytes(b"other weights")
    outcome = finetune(job, tmp_path / "work", versions)
    assert outcome.version is not None
    assert outcome.version.parent == SHIPPED


def test_pits_of_five_pixels_in_large_images_are_trained_validated_and_judged(
    job: TuningJob, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tuner, "check", CHECK)
    pits = MaskFolder(write_blobs(tmp_path / "pits", 60, objects=1, size=1024, blob=(5, 5)))
    outcome = finetune(replace(job, source=pits), tmp_path / "work", versions)
    assert outcome.verdict.reason
    reached = read_status(tmp_path / "work")
    assert reached is not None
    assert reached.state == FINISHED
    assert reached.box is not None
    assert reached.box > 0


def test_too_few_masks_are_reported_before_anything_is_loaded(
    job: TuningJob, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning_job, "load_trainable", None)
    few = replace(job, source=MaskFolder(write_blobs(tmp_path / "few", 5)))
    with pytest.raises(SamInspectError, match="there are 5"):
        finetune(few, tmp_path / "work", versions)


def test_the_same_training_does_not_run_twice_at_once(job: TuningJob, versions: Versions, tmp_path: Path) -> None:
    def again(_: TrainingStatus) -> None:
        with pytest.raises(SamInspectError, match="running already"):
            finetune(job, tmp_path / "work", versions)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(job, tmp_path / "work", versions, again)
