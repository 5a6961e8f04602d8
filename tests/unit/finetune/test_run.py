"""From accepted masks to a version, and everything that may go wrong on the way."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

from blob_images import write_blobs  # noqa: E402
from sam_backend.errors import SamInspectError  # noqa: E402
from sam_backend.finetune import run, trainable  # noqa: E402
from sam_backend.finetune.gate import Verdict  # noqa: E402
from sam_backend.finetune.onnx_export import export_nano  # noqa: E402 - needs torch
from sam_backend.finetune.progress import FAILED, FINISHED, Progress, read_progress  # noqa: E402
from sam_backend.finetune.recipe import Recipe  # noqa: E402
from sam_backend.finetune.run import Job, finetune  # noqa: E402
from sam_backend.finetune.tuning import Check, Tuner  # noqa: E402
from sam_backend.finetune.versions import SHIPPED, Versions  # noqa: E402
from sam_backend.segmenters.nano import segmenter  # noqa: E402
from sam_backend.segmenters.registry import load_segmenter  # noqa: E402
from sam_evaluation.datasets.registry import DatasetSpec  # noqa: E402

pytestmark = pytest.mark.slow

RECIPE = Recipe(steps=3, images=1, prompts=1, views=1, checks=3)


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blobs(tmp_path_factory.mktemp("blobs"), 60, objects=1)


@pytest.fixture
def job(blobs: Path) -> Job:
    return Job(DatasetSpec("masks", blobs), "nano", RECIPE)


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "models")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge by word of mouth, export nothing new, find every check better: all of them are tested by themselves."""

    def check(self: Tuner) -> Check:
        found = Check(self.state.step, float("nan"), 0.5 + self.state.step / 10, 0.5)
        self.best = {name: value.clone() for name, value in self.average.items()}
        self.state.checks.append(found)
        return found

    def export(_: object, folder: Path) -> None:
        for name in ("encoder.onnx", "decoder.onnx"):
            shutil.copy(Path(segmenter.__file__).with_name(name), folder)

    monkeypatch.setattr(Tuner, "check", check)
    monkeypatch.setattr(trainable, "export_nano", export)
    monkeypatch.setattr(run, "measure", lambda segmenter, *_, **__: segmenter.version)
    monkeypatch.setattr(run, "judge", lambda *_: Verdict(True, "click: much better.", {"click.iou": [0.5, 0.6]}))


def test_what_passed_the_gate_serves_under_a_version_of_its_own(
    job: Job, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainable, "export_nano", export_nano)
    told: list[Progress] = []
    outcome = finetune(job, tmp_path / "work", versions, told.append)
    assert outcome.version is not None
    assert versions.current("nano") == outcome.version.name == "nano-0001"
    served = load_segmenter("nano", versions.checkpoint("nano"), threads=1)
    assert served.version == outcome.version.model_version != load_segmenter("nano", threads=1).version
    assert (outcome.version.parent, outcome.version.reason) == (SHIPPED, "click: much better.")
    assert outcome.version.data.endswith(" masks")
    folder = versions.folder_of("nano-0001")
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    reached = read_progress(tmp_path / "work")
    assert reached is not None
    assert (reached.state, reached.step, reached.steps) == (FINISHED, 3, 3)
    assert reached == told[-1]
    assert not (tmp_path / "work" / "checkpoint.pt").exists()
    assert not (tmp_path / "work" / "embeddings").exists()


def test_what_did_not_pass_is_kept_beside_with_the_reason(
    job: Job, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "judge", lambda *_: Verdict(False, "box: worse.", {}))
    outcome = finetune(job, tmp_path / "work", versions)
    assert outcome.version is not None
    assert versions.current("nano") == SHIPPED
    assert [(each.name, each.reason, each.passed) for each in versions.all()] == [("nano-0001", "box: worse.", False)]


def test_a_training_killed_between_two_steps_goes_on_and_what_serves_is_untouched(
    job: Job, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    take = Tuner.take_step

    def killed(self: Tuner) -> float:
        steps.append(self.state.step)
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
    job: Job, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run, "judge", killed)
        with pytest.raises(KeyboardInterrupt):
            finetune(job, tmp_path / "work", versions)
    assert (versions.all(), versions.current("nano")) == ([], SHIPPED)
    monkeypatch.setattr(Tuner, "take_step", killed)
    finetune(job, tmp_path / "work", versions)
    assert versions.current("nano") == "nano-0001"


def test_a_loss_that_is_no_number_ends_the_training_and_the_best_before_it_is_judged(
    job: Job, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Tuner.take_step
    monkeypatch.setattr(Tuner, "take_step", lambda self: float("nan") if self.state.step == 2 else take(self))
    outcome = finetune(job, tmp_path / "work", versions)
    assert "The loss became nan after step 2" in outcome.ended
    assert "of step 2, were kept" in outcome.ended
    assert versions.current("nano") == "nano-0001"


def test_a_training_that_found_nothing_better_makes_nothing(
    job: Job, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tuner, "take_step", lambda self: float("nan"))
    outcome = finetune(job, tmp_path / "work", versions)
    assert outcome.version is None
    assert "nothing was made" in outcome.verdict.reason
    assert versions.all() == []


def test_a_full_disk_is_told_and_leaves_no_half_file(
    job: Job, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Tuner) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "work" / "checkpoint.pt"))

    with monkeypatch.context() as patch:
        patch.setattr(Tuner, "save", full)
        with pytest.raises(SamInspectError, match=r"checkpoint\.pt: No space left on device\. Make room"):
            finetune(job, tmp_path / "work", versions)
    reached = read_progress(tmp_path / "work")
    assert reached is not None
    assert reached.state == FAILED
    assert "No space" in reached.result
    assert versions.current("nano") == SHIPPED
    assert finetune(job, tmp_path / "work", versions).version is not None


def test_too_few_masks_are_told_before_anything_is_loaded(
    job: Job, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "load_trainable", None)
    few = replace(job, data=DatasetSpec("masks", write_blobs(tmp_path / "few", 5)))
    with pytest.raises(SamInspectError, match="there are 5"):
        finetune(few, tmp_path / "work", versions)


def test_the_same_training_does_not_run_twice_at_once(job: Job, versions: Versions, tmp_path: Path) -> None:
    def again(_: Progress) -> None:
        with pytest.raises(SamInspectError, match="running already"):
            finetune(job, tmp_path / "work", versions)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(job, tmp_path / "work", versions, again)
