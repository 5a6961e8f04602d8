"""Scores are the probability that a proposal is correct, on images that were never learnt."""

from pathlib import Path

import numpy as np
import pytest

from sam_backend.errors import WeightsError
from sam_backend.proposer.calibration import calibrate, fit_score, matched_ious
from sam_backend.proposer.manifest import MANIFEST, Manifest, read_manifest
from sam_backend.proposer.regions import DEFAULT_WEIGHTS, Region, score_of
from sam_backend.samples import Cropped, Object, Sample
from sam_backend.segmenters import Candidates, Embedding


def bar(left, right):
    mask = np.zeros((10, 40), bool)
    mask[2:6, left:right] = True
    return mask


def test_each_object_makes_one_proposal_correct_at_most_and_labels_count():
    objects = [Object(bar(0, 10), "pit"), Object(bar(20, 30), "crack")]
    masks = [bar(0, 8), bar(0, 10), bar(20, 30), bar(20, 25)]
    assert matched_ious(masks, ["pit", "pit", "pit", "crack"], objects) == [0.0, 1.0, 0.0, 0.5]
    assert matched_ious([], [], objects) == []
    assert matched_ious(masks[:1], ["pit"], []) == [0.0]


class Widening:
    """A segmenter that corrects each mask to the ten columns that begin where the mask begins."""

    def encode(self, image):
        return Embedding({}, image.shape[:2])

    def decode(self, embedding, prompts):
        lefts = [int(np.flatnonzero(prompt.mask.any(0))[0]) for prompt in prompts]
        masks = [bar(left, left + 10)[None] for left in lefts]
        return [Candidates(mask, np.ones(1, np.float32), mask.astype(np.float32)) for mask in masks]


class Scripted:
    """A proposer of which every third clear region and every doubtful region is wrong."""

    def __init__(self):
        self.manifest, self.width = Manifest(("pit",), 1.0, 6), 10

    def regions(self, image):
        number = int(image[0, 0, 0])
        return [Region(0, Cropped.of(bar(0, self.width)), 2.0 if number % 2 else -1.0)]


def test_scores_are_fitted_to_how_often_regions_are_correct():
    samples = []
    for number in range(120):
        correct = number % 2 == 1 and number % 3 != 0
        target = Object(bar(0, 10) if correct else bar(20, 30), "pit")
        samples.append(Sample(str(number), np.full((10, 40, 3), number, np.uint8), (target,)))
    fitted = calibrate(Scripted(), samples, Widening())
    assert not fitted.is_polished
    assert score_of(2.0, fitted.score_weights) == pytest.approx(2 / 3, abs=0.06)
    assert score_of(-1.0, fitted.score_weights) == pytest.approx(0.0, abs=0.06)


def test_scores_of_few_regions_stay_close_to_the_default_and_those_of_many_follow_them():
    odds, correct = [0.5, 1.5] * 3, [True] * 6
    for weights in (fit_score(odds, correct), fit_score([], [])):
        assert weights == pytest.approx(DEFAULT_WEIGHTS, abs=0.8)
    # Of a thousand regions with each of these odds, 20 % and 60 % are correct.
    rng = np.random.default_rng(0)
    many = np.tile([0.5, 1.5], 1000)
    fitted = fit_score(many, rng.random(2000) < np.where(many < 1, 0.2, 0.6))
    assert [score_of(value, fitted) for value in (0.5, 1.5)] == pytest.approx([0.2, 0.6], abs=0.03)


def test_masks_are_polished_where_that_makes_them_better_and_the_scores_are_those_of_the_polished_masks():
    samples = [Sample("1", np.full((10, 40, 3), 1, np.uint8), (Object(bar(0, 10), "pit"),))] * 60
    proposer = Scripted()
    proposer.width = 4
    fitted = calibrate(proposer, samples, Widening())
    assert fitted.is_polished
    assert score_of(2.0, fitted.score_weights) > 0.9


def test_without_any_region_the_scores_stay_what_the_shares_say():
    empty = Scripted()
    empty.regions = lambda image: []
    assert calibrate(empty, [], Widening()) == empty.manifest


def test_a_manifest_is_read_as_it_was_written_and_a_damaged_one_is_one_sentence(tmp_path: Path):
    manifest = Manifest(("pit", "crack"), 0.5, 9, (1.5, -1.0))
    manifest.write(tmp_path)
    assert read_manifest(tmp_path) == manifest
    for damage in (b"{", b'{"labels": [], "scale": 1, "least_area": 6}'):
        (tmp_path / MANIFEST).write_bytes(damage)
        with pytest.raises(WeightsError, match=r"is damaged \(.+\); train the proposer again"):
            read_manifest(tmp_path)
    (tmp_path / MANIFEST).unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        read_manifest(tmp_path)
