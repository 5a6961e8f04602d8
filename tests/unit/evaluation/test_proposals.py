"""The quality of proposals, and the gate of proposers, with values worked out by hand."""

import numpy as np
import pytest

from sam_backend.memory.proposals import Proposal
from sam_backend.samples import Object, Sample
from sam_backend.segmenters import Embedding
from sam_evaluation.proposal_gate import ProposalGate, judge
from sam_evaluation.proposal_quality import ImageProposals, ProposalQuality, panoptic_gain, rate_proposals


def bar(left, right):
    mask = np.zeros((10, 100), bool)
    mask[2:6, left:right] = True
    return mask


def sample(*objects):
    return Sample("one", np.zeros((10, 100, 3), np.uint8), tuple(Object(mask, label) for mask, label in objects))


def test_a_proposal_counts_for_an_object_of_its_label_and_each_object_for_one_proposal():
    image = sample((bar(0, 10), "pit"), (bar(40, 80), "crack"), (bar(90, 95), "pit"))
    proposals = [
        (bar(0, 8), "pit", 0.9),
        (bar(0, 10), "crack", 0.8),
        (bar(50, 80), "crack", 0.7),
        (bar(0, 4), "pit", 0.2),
    ]
    rated = rate_proposals(image, proposals)
    assert rated.ious == (0.8, 0.75, 0.0)
    assert rated.correct == (True, False, True, False)
    assert rated.areas == (40, 160, 20)
    assert (rated.shared, rated.united) == ({"crack": 120, "pit": 32}, {"crack": 200, "pit": 60})
    quality = ProposalQuality([rated])
    assert quality.recall == pytest.approx(2 / 3)
    assert quality.false_per_image == 2
    assert quality.pixel_iou == pytest.approx({"crack": 0.6, "pit": 32 / 60})
    # (0.8 + 0.75) / (2 found + half of 2 false and 1 missed)
    assert quality.panoptic == pytest.approx(1.55 / 3.5)


def test_recall_is_told_by_the_size_of_the_objects():
    quality = ProposalQuality([ImageProposals((50, 99, 100, 5000), (0.6, 0.0, 0.7, 0.9), (), ())])
    assert quality.recall == 0.75
    assert quality.recall_by_size == {
        "under 10² px": (0.5, 2),
        "10² to 32² px": (1.0, 1),
        "32² to 96² px": (1.0, 1),
    }


FOUND = ImageProposals((50,), (0.8,), (0.9,), (True,))
MISSED = ImageProposals((50,), (0.0,), (), ())
CLEAN = ImageProposals((), (), (), ())


def test_a_gain_is_sure_if_its_interval_leaves_out_zero():
    gain, low, high = panoptic_gain([MISSED] * 10 + [FOUND] * 10, [FOUND] * 20)
    assert gain == pytest.approx(0.8 - 8 / 15)
    assert 0.05 < low < gain < high < 0.5
    assert panoptic_gain([FOUND, CLEAN] * 5, [FOUND, CLEAN] * 5)[0] == 0


@pytest.mark.parametrize(
    ("before", "after", "passed", "reason"),
    [
        ([MISSED] * 20, [FOUND] * 20, True, "Proposals against memory on 20 held-out images"),
        ([FOUND] * 20, [MISSED] * 20, False, "No better than what serves"),
        ([MISSED] * 20, [FOUND] + [MISSED] * 19, False, "No better than what serves"),
        ([MISSED] * 9, [FOUND] * 9, False, "Only 9 images are held out"),
    ],
)
def test_a_proposer_serves_only_if_its_proposals_are_better_by_more_than_their_uncertainty(
    before, after, passed, reason
):
    verdict = judge(before, after, "memory")
    assert verdict.passed is passed
    assert verdict.reason.startswith(reason)


class Encoder:
    def encode(self, image):
        return Embedding({}, image.shape[:2])


class Fixed:
    def __init__(self, name, *masks):
        self.name, self._masks = name, masks

    def propose(self, segmenter, embedding, *, limit=None):
        return [Proposal(mask, "pit", 0.9) for mask in self._masks]


def test_the_gate_lets_both_propose_on_the_same_images():
    image, done = sample((bar(0, 10), "pit")), []
    gate = ProposalGate(Encoder())
    names = [str(number) for number in range(12)]
    shown = lambda step, total, doing="": done.append((step, total))  # noqa: E731
    verdict = gate(Fixed("memory", bar(50, 60)), Fixed("proposer-1", bar(0, 9)), names, lambda name: image, shown)
    assert verdict.passed
    assert verdict.metrics["proposals.false_per_image"] == [1, 0]
    assert "objects found 0% -> 100%" in verdict.reason
    assert done[-1] == (11, 12)
