"""From accepted images to a proposer that serves."""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

from blob_images import write_blobs  # noqa: E402
from sam_backend.finetune import examples  # noqa: E402
from sam_backend.finetune.examples import TooFewMasksError  # noqa: E402
from sam_backend.finetune.gate_decisions import gate_decisions  # noqa: E402
from sam_backend.finetune.training_run import open_run  # noqa: E402
from sam_backend.finetune.training_status import FINISHED, read_status  # noqa: E402
from sam_backend.finetune.verdict import Verdict  # noqa: E402
from sam_backend.finetune.versions import SHIPPED, Versions  # noqa: E402
from sam_backend.proposer import job, training  # noqa: E402
from sam_backend.proposer.crops import CropSource  # noqa: E402
from sam_backend.proposer.export import export_proposer  # noqa: E402
from sam_backend.proposer.job import WEIGHTS, ProposerJob, train_proposer  # noqa: E402
from sam_backend.proposer.manifest import Manifest  # noqa: E402
from sam_backend.proposer.net import continued_net, new_net, write_net  # noqa: E402
from sam_backend.proposer.regions import Region  # noqa: E402
from sam_backend.proposer.scale import ImageFacts  # noqa: E402
from sam_backend.proposer.trained import TrainedProposer, mask_in  # noqa: E402
from sam_backend.proposer.training import ProposerRecipe, Saved, segmentation_loss, train  # noqa: E402
from sam_backend.samples import Cropped  # noqa: E402
from sam_backend.segmenters.model_registry import load_segmenter  # noqa: E402
from sam_evaluation.datasets.mask_folder import MaskFolder  # noqa: E402

RECIPE = ProposerRecipe(steps=40, crops=2, warm_up=5, average=0.8)
MODEL, LABEL = "proposer:3.1", "object"


class FixedGate:
    """A gate that notes what it is asked, and always gives the same verdict."""

    fewest_images = 3

    def __init__(self, passed):
        self.passed, self.asked = passed, []

    def __call__(self, serving, candidate, names, load, progress):
        self.asked.append((serving.name, candidate.name))
        self.names = names
        return Verdict(self.passed, "It was measured.", {"proposals.recall": [0.1, 0.2]})


@pytest.fixture(scope="module")
def nano():
    return load_segmenter("nano", threads=1)


@pytest.fixture(scope="module")
def blobs(tmp_path_factory) -> Path:
    return write_blobs(tmp_path_factory.mktemp("blobs"), 40)


@pytest.fixture
def start(tmp_path, blobs, nano):
    versions = Versions(tmp_path / "models")

    def run_job(gate, recipe=RECIPE, folder=blobs, source=None):
        training = ProposerJob(source or MaskFolder(folder), MODEL, "masks:blobs", recipe, gate, nano)
        with open_run(tmp_path / "work", training.data, MODEL) as run:
            return train_proposer(training, run, versions)

    run_job.versions, run_job.work = versions, tmp_path / "work"
    return run_job


@pytest.mark.slow
def test_a_proposer_that_passes_its_gate_serves_and_finds_the_objects(start, blobs, nano):
    outcome = start(FixedGate(passed=True))
    assert start.versions.current(MODEL) == outcome.version.name == "proposer_3.1-0001"
    assert outcome.version.parent == "memory"
    served = TrainedProposer(start.versions.verified(outcome.version.name))
    sample = MaskFolder(blobs).load("000.png")
    proposals = served.propose(nano, nano.encode(sample.image))
    assert len(proposals) == len(sample.objects) == 2
    assert min(proposal.score for proposal in proposals) > 0.5
    found = proposals[0].mask | proposals[1].mask
    wanted = sample.objects[0].mask | sample.objects[1].mask
    assert (found & wanted).sum() > 0.7 * (found | wanted).sum()
    assert read_status(start.work).state == FINISHED
    assert read_status(start.work).result == "proposer_3.1-0001 proposes masks from now on. It was measured."


def test_what_is_no_better_is_not_kept_but_the_next_training_goes_on_from_it(start):
    short = ProposerRecipe(steps=2, crops=1, warm_up=1)
    gate = FixedGate(passed=False)
    assert start(gate, short).version is None
    assert start.versions.current(MODEL) == SHIPPED
    assert start.versions.all() == []
    assert [(one.model, one.version, one.passed) for one in gate_decisions(start.versions)] == [(MODEL, "", False)]
    before = continued_net([LABEL], start.work / WEIGHTS).classify.weight.detach().clone()
    gate.passed = True
    second = start(gate, short)
    assert second.version.metrics == {"proposals.recall": [0.1, 0.2]}
    after = continued_net([LABEL], start.work / WEIGHTS).classify.weight.detach()
    assert 0 < (after - before).abs().max() < 0.01
    start(gate, short)
    assert [serving for serving, _ in gate.asked] == ["memory", "memory", gate.asked[1][1]]


@pytest.mark.slow
def test_of_many_held_out_images_some_are_judged(start, monkeypatch):
    monkeypatch.setattr(job, "_JUDGED", 4)
    gate = FixedGate(passed=False)
    start(gate, ProposerRecipe(steps=2, crops=1, warm_up=1))
    assert 2 < len(gate.names) <= 4


class CountedFolder(MaskFolder):
    """Notes the most images that were in memory at once."""

    def __init__(self, folder):
        super().__init__(folder)
        self.alive, self.most = weakref.WeakSet(), 0

    def load(self, name):
        sample = super().load(name)
        self.alive.add(sample)
        self.most = max(self.most, len(self.alive))
        return sample


@pytest.mark.slow
def test_of_a_large_project_only_some_images_are_in_memory(start, blobs, nano, monkeypatch):
    folder = CountedFolder(blobs)
    sample = folder.load("000.png")
    room = 4 * (sample.image.nbytes + sum(target.cropped.part.nbytes for target in sample.objects))
    del sample
    monkeypatch.setattr(examples, "_MEMORY_BYTES", room)
    start(FixedGate(passed=False), ProposerRecipe(steps=2, crops=1, warm_up=1), source=folder)
    assert folder.most < 10


def test_too_few_images_are_one_sentence_that_says_how_many_are_missing(start, tmp_path):
    few = write_blobs(tmp_path / "few", 8)
    with pytest.raises(TooFewMasksError, match=r"accept masks on \d+ more"):
        start(FixedGate(True), folder=few)


def test_classes_that_an_earlier_training_knew_keep_their_weights(tmp_path):
    torch.manual_seed(0)
    earlier = new_net(2)
    write_net(earlier, ["pit", "crack"], tmp_path / "w")
    later = continued_net(["crack", "fray", "pit"], tmp_path / "w")
    weights = [net.classify.weight.detach() for net in (earlier, later)]
    assert torch.equal(weights[1][[0, 3, 1]], weights[0])
    (tmp_path / "w").write_bytes(b"damaged")
    assert continued_net(["pit"], tmp_path / "w").classify.weight.shape[0] == 2


def test_a_small_image_is_seen_enlarged_and_answered_in_its_own_pixels(tmp_path):
    export_proposer(new_net(1), Manifest((LABEL,), 2.0, 1), tmp_path)
    assert TrainedProposer(tmp_path, threads=1).shares(np.zeros((40, 60, 3), np.uint8)).shape == (2, 80, 120)
    seen = np.zeros((80, 120), bool)
    seen[20:40, 60:80] = True
    mask = mask_in(Region(0, Cropped.of(seen), 1.0), (40, 60))
    assert mask.shape == (40, 60)
    assert (mask.sum(), mask[10:20, 30:40].all()) == (100, True)


def test_a_slow_machine_takes_fewer_steps(blobs):
    sample = MaskFolder(blobs).load("000.png")
    source = CropSource([ImageFacts.of(sample)], lambda _: sample, (LABEL,), 1.0, 64)
    steps = []
    recipe = ProposerRecipe(steps=1000, minutes=1 / 6000, crops=1)
    train(new_net(1), source, recipe, lambda step, of, loss: steps.append(step))
    assert steps == list(range(1, 11))


def test_a_training_that_was_interrupted_goes_on_to_the_same_weights(blobs, tmp_path, monkeypatch):
    sample = MaskFolder(blobs).load("000.png")
    source = CropSource([ImageFacts.of(sample)], lambda _: sample, (LABEL,), 1.0, 64)
    recipe = ProposerRecipe(steps=5, crops=1, warm_up=2)
    monkeypatch.setattr(training, "_SAVE_EVERY", 0.0)

    def weights_after(saved, show=lambda step, of, loss: None):
        torch.manual_seed(0)
        net = new_net(1)
        train(net, source, recipe, show, saved=saved)
        return net.classify.weight.detach().clone()

    def stop(step, of, loss):
        if step == 4:
            raise KeyboardInterrupt

    whole, saved = weights_after(None), Saved(tmp_path / "checkpoint", "images")
    with pytest.raises(KeyboardInterrupt):
        weights_after(saved, stop)
    steps = []
    assert torch.equal(weights_after(saved, lambda step, of, loss: steps.append(step)), whole)
    assert steps == [4, 5]
    # With other images it starts anew.
    weights_after(replace(saved, data="others"), lambda step, of, loss: steps.append(step))
    assert steps == [4, 5, 1, 2, 3, 4, 5]


def test_a_class_that_no_crop_shows_is_not_told_to_vanish():
    logits = torch.zeros(1, 3, 4, 4, requires_grad=True)
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    labels[:, :2] = 1
    loss = segmentation_loss(logits, labels)
    # Cross-entropy log 3; Dice of class 1 is (2 * 8 / 3 + 1) / (16 / 3 + 8 + 1).
    assert loss.item() == pytest.approx(np.log(3) + 1 - (16 / 3 + 1) / (16 / 3 + 9), abs=1e-5)
