"""The product's tuning of the refiner in a run: it learns the accepted masks once, and then corrects masks."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

from colour_segmenter import ColourSegmenter  # noqa: E402
from sam_backend.finetune.part_training import PartOutcome  # noqa: E402
from sam_backend.finetune.refiner.names import SIMULATED  # noqa: E402
from sam_backend.finetune.refiner.refiner_job import RefinerJob  # noqa: E402
from sam_backend.finetune.verdict import Verdict  # noqa: E402
from sam_backend.finetune.versions import Version, Versions  # noqa: E402
from sam_backend.segmenters.correcting import Correcting  # noqa: E402
from sam_backend.segmenters.refiner.refiner import BACKBONE, HEAD  # noqa: E402
from sam_evaluation.simulation import simulated_refiner  # noqa: E402
from sam_evaluation.simulation.image_set import EmbeddingCaches  # noqa: E402
from sam_evaluation.simulation.journal import ImageLabelled, Journal, RefinerTuned  # noqa: E402
from sam_evaluation.simulation.loop import Conditions, Loop, RunSpec  # noqa: E402
from sam_evaluation.simulation.plans import ARMS  # noqa: E402
from sam_evaluation.simulation.simulation_data import SimulationData  # noqa: E402


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Replace the tuning: note what it may learn, and make a version of the files that ship; perhaps end in a kill."""
    state = SimpleNamespace(jobs=[], seen=[], killed=False)

    def tune_refiner(job: RefinerJob, run: object, versions: Versions) -> PartOutcome:
        state.jobs.append(job)
        state.seen.append({name: job.source.load(name) for name in job.source.names()})
        with versions.staging(job.model) as folder:
            for name in (BACKBONE, HEAD):
                shutil.copyfile(job.segmenter.refiner.folder / name, folder / name)
            made = versions.add(Version("", job.model, data=f"{job.data}, 3 masks", reason="better"), folder)
        if state.killed:
            state.killed = False
            raise KeyboardInterrupt
        versions.promote(made.name)
        return PartOutcome(made, Verdict(True, "better", {}), "corrects masks")

    monkeypatch.setattr(simulated_refiner, "tune_refiner", tune_refiner)
    return state


@pytest.fixture
def spec(tmp_path: Path, data: SimulationData, conditions: Conditions) -> RunSpec:
    return RunSpec(ARMS["+refiner"], 0, data, conditions, tmp_path / "run")


def loop(spec: RunSpec, embeddings: EmbeddingCaches) -> Loop:
    return Loop(spec, lambda checkpoint: Correcting(ColourSegmenter()), embeddings)


def test_it_learns_the_accepted_masks_alone_and_corrects_masks_from_then_on(
    spec: RunSpec, embeddings: EmbeddingCaches, tuned: SimpleNamespace
) -> None:
    run = loop(spec, embeddings)
    run.run()
    journal = Journal(spec.journal)
    assert journal.of(RefinerTuned) == [RefinerTuned(4, "refiner_simulated-0001", True, "better")]
    folder = Versions(spec.folder / "models").folder_of("refiner_simulated-0001")
    assert run._segmenter.refiner.folder == folder  # type: ignore[attr-defined]
    (seen,) = tuned.seen
    labelled = {event.name: event for event in journal.of(ImageLabelled)[:4]}
    assert set(seen) == set(labelled)
    for name, sample in seen.items():
        masks = dict(labelled[name].accepted())
        for target in sample.objects:
            np.testing.assert_array_equal(target.mask, masks[target.label])


def test_after_a_kill_a_version_that_was_made_is_used_and_not_made_again(
    spec: RunSpec, embeddings: EmbeddingCaches, tuned: SimpleNamespace
) -> None:
    tuned.killed = True
    with pytest.raises(KeyboardInterrupt):
        loop(spec, embeddings).run()
    loop(spec, embeddings).run()
    assert len(tuned.jobs) == 1
    assert Journal(spec.journal).of(RefinerTuned) == [RefinerTuned(4, "refiner_simulated-0001", True, "better")]
    assert Versions(spec.folder / "models").current(SIMULATED) == "refiner_simulated-0001"


def test_too_few_masks_are_recorded_and_the_run_goes_on(spec: RunSpec, embeddings: EmbeddingCaches) -> None:
    loop(spec, embeddings).run()
    journal = Journal(spec.journal)
    (event,) = journal.of(RefinerTuned)
    assert not event.passed
    assert "accept masks on" in event.reason
    assert len(journal.of(ImageLabelled)) == 6
