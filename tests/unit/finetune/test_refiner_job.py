"""From accepted masks to a project's own refiner."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

from sam_backend.finetune.examples import TooFewMasksError, read_examples  # noqa: E402
from sam_backend.finetune.refiner.accepted_chains import AcceptedChains  # noqa: E402
from sam_backend.finetune.refiner.head_recipe import HeadRecipe  # noqa: E402
from sam_backend.finetune.refiner.head_tuner import HeadTuner  # noqa: E402
from sam_backend.finetune.refiner.refiner_export import load_head  # noqa: E402
from sam_backend.finetune.refiner.refiner_job import RefinerJob, tune_refiner  # noqa: E402
from sam_backend.finetune.refiner.served_chain import ServedChain  # noqa: E402
from sam_backend.finetune.training_run import open_run  # noqa: E402
from sam_backend.finetune.training_status import FINISHED, read_status  # noqa: E402
from sam_backend.finetune.verdict import Verdict  # noqa: E402
from sam_backend.finetune.versions import SHIPPED, Versions  # noqa: E402
from sam_backend.samples import Object, Sample  # noqa: E402
from sam_backend.segmenters import Prompt  # noqa: E402
from sam_backend.segmenters.correcting import Correcting  # noqa: E402
from sam_backend.segmenters.image_reader import PixelReader  # noqa: E402
from sam_backend.segmenters.refiner.architecture import normalised  # noqa: E402
from sam_backend.segmenters.refiner.refiner import WEIGHTS, Refiner  # noqa: E402
from threshold_segmenter import ThresholdSegmenter  # noqa: E402

MODEL = "refiner:3.1"
SHORT = HeadRecipe(steps=2, chains=1, most_clicks=1, warm_up=1)


class Rings:
    """Accepted discs on grey images, which a person draws 6 pixels wider than they look."""

    def __init__(self, count=30, objects=1):
        self._count, self._objects = count, objects

    def names(self):
        return [f"{number}.png" for number in range(self._count)]

    def load(self, name):
        rng = np.random.default_rng(int(name.partition(".")[0]))
        centre, radius = tuple(rng.integers(50, 110, 2).tolist()), int(rng.integers(18, 26))
        image = rng.integers(60, 80, (160, 160, 1), np.uint8).repeat(3, 2)
        cv2.circle(image, centre, radius, (180,) * 3, -1)
        drawn = cv2.circle(np.zeros((160, 160), np.uint8), centre, radius + 6, 1, -1).astype(bool)
        return Sample(name, image, (Object(drawn, "ring"),) * self._objects)


class FixedGate:
    """A gate that notes what it is asked, and always gives the same verdict."""

    fewest_images = 3

    def __init__(self, passed):
        self.passed, self.asked = passed, []

    def __call__(self, serving, candidate, names, load, progress):
        self.asked.append((serving.refiner.version, candidate.refiner.version))
        return Verdict(self.passed, "It was measured.", {"clicks:5.iou": [0.5, 0.6]})


@pytest.fixture(scope="module")
def segmenter():
    return Correcting(ThresholdSegmenter(), Refiner())


@pytest.fixture
def start(tmp_path, segmenter):
    versions = Versions(tmp_path / "models")

    def run_job(gate, recipe=SHORT, source=None):
        job = RefinerJob(source or Rings(), MODEL, "rings", recipe, gate, segmenter)
        with open_run(tmp_path / "work", job.data, MODEL) as run:
            return tune_refiner(job, run, versions)

    run_job.versions, run_job.work = versions, tmp_path / "work"
    return run_job


@pytest.mark.slow
def test_a_refiner_learns_how_a_project_draws_and_serves_if_the_gate_says_so(start, segmenter):
    recipe = HeadRecipe(steps=16, chains=3, most_clicks=2, learning_rate=1e-3, warm_up=2, average=0.8)
    gate = FixedGate(passed=True)
    outcome = start(gate, recipe)
    assert start.versions.current(MODEL) == outcome.version.name == "refiner_3.1-0001"
    assert gate.asked == [(segmenter.refiner.version, outcome.version.model_version.removeprefix("refiner-"))]
    served = segmenter.with_refiner(Refiner(start.versions.verified(outcome.version.name), beside=segmenter.refiner))
    sample = Rings().load("100.png")
    (ring,) = sample.objects
    seen = sample.image[..., 0] > 120
    ious = []
    for one in (segmenter, served):
        (top, left), size = ring.cropped.corner, ring.cropped.part.shape[0]
        click = np.array([(left + size // 2, top + 2)], np.float32)
        answer = one.decode(one.encode(sample.image), [Prompt(click, np.array([1]), mask=seen)])[0].masks[0]
        ious.append((answer & ring.mask).sum() / (answer | ring.mask).sum())
    assert ious[1] > ious[0] + 0.05
    status = read_status(start.work)
    assert (status.state, status.step) == (FINISHED, 16)
    assert status.result == "refiner_3.1-0001 corrects masks from now on. It was measured."


def test_the_same_seed_gives_the_same_weights_and_the_next_tuning_goes_on_from_what_serves(start):
    gate = FixedGate(passed=True)
    first = start(gate)
    start.versions.roll_back(MODEL)
    again = start(gate)
    folders = [start.versions.folder_of(outcome.version.name) for outcome in (first, again)]
    assert (folders[0] / WEIGHTS).read_bytes() == (folders[1] / WEIGHTS).read_bytes()
    third = start(gate)
    assert third.version.parent == again.version.name
    assert gate.asked[2][0] == gate.asked[1][1] != gate.asked[2][1]


def test_what_is_no_better_is_not_kept(start):
    assert start(FixedGate(passed=False)).version is None
    assert start.versions.current(MODEL) == SHIPPED
    assert start.versions.all() == []
    assert read_status(start.work).result == "What corrects masks now goes on. It was measured."


def test_too_few_images_are_one_sentence_that_says_how_many_are_missing(start):
    with pytest.raises(TooFewMasksError, match=r"accept masks on \d+ more"):
        start(FixedGate(True), source=Rings(6))


def test_only_the_head_learns(segmenter):
    examples = read_examples(Rings())
    head = load_head(segmenter.refiner.folder)
    before = {name: value.detach().clone() for name, value in head.named_parameters()}
    HeadTuner(head, segmenter.refiner, examples, segmenter, SHORT).run(lambda step, steps, loss: None)
    changed = {name for name, value in head.named_parameters() if not torch.equal(before[name], value)}
    assert changed
    assert not any(name.startswith("lateral.") for name in changed)


def test_a_slow_machine_takes_fewer_steps(segmenter):
    recipe = replace(SHORT, steps=1000, seconds=1e-6)
    tuner = HeadTuner(load_head(segmenter.refiner.folder), segmenter.refiner, read_examples(Rings()), segmenter, recipe)
    tuner.run(lambda step, steps, loss: None)
    assert tuner.step == 10


def test_masks_of_nearly_the_whole_image_cannot_be_learnt(segmenter):
    class Whole(Rings):
        def load(self, name):
            sample = super().load(name)
            return Sample(name, sample.image, (Object(np.ones(sample.image.shape[:2], bool), "surface"),))

    tuner = HeadTuner(load_head(segmenter.refiner.folder), segmenter.refiner, read_examples(Whole()), segmenter, SHORT)
    with pytest.raises(TooFewMasksError, match="cover nearly the whole image"):
        tuner.run(lambda step, steps, loss: None)


def test_the_model_answers_once_for_an_image():
    asked = ThresholdSegmenter()
    chains = AcceptedChains(read_examples(Rings()), Correcting(asked, Refiner()), seed=0)
    drawn = [chains.draw(np.random.default_rng(number), "3.png") for number in range(4)]
    assert asked.encoded == 1
    assert all(chain.mask.any() for chain in drawn)


def test_a_chain_is_corrected_as_serving_corrects_it(segmenter):
    refiner, sample = segmenter.refiner, Rings().load("3.png")
    target, seen = sample.objects[0].mask, sample.image[..., 0] > 120
    chain = ServedChain(sample.image, target, seen, np.zeros((0, 2), np.float32))
    head, rng = load_head(refiner.folder), np.random.default_rng(0)
    served = seen
    for _ in range(3):
        assert chain.click(rng)
        view, _ = chain.view(refiner)
        features = [torch.from_numpy(level) for level in view.features]
        with torch.no_grad():
            logits, _ = head(normalised(torch.from_numpy(view.pixels)), features, torch.from_numpy(view.maps[None]))
        chain.answer(logits[0].numpy())
        served = refiner.correct(PixelReader(sample.image), served, chain.points, chain.labels).mask
        assert (chain.mask ^ served).sum() <= 0.01 * served.sum()
