"""Whether a proposer may serve: its proposals and those of what serves, on the same held-out images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sam_backend.finetune.verdict import Verdict
from sam_backend.memory.proposals import Proposer
from sam_backend.progress import ProgressCallback
from sam_backend.samples import Sample
from sam_backend.segmenters import Segmenter
from sam_evaluation.comparison import FEWEST_IMAGES
from sam_evaluation.proposal_quality import ImageProposals, ProposalQuality, panoptic_gain, rate_proposals

SMALLEST_GAIN = 0.01
"""The smallest gain of panoptic quality that is worth other proposals."""

MAX_PROPOSALS = 20
"""Most proposals on an image, as many as are shown."""


@dataclass(frozen=True)
class ProposalGate:
    """The gate of proposers; see `judge` for the rule.

    Attributes
    ----------
    segmenter : Segmenter with which both propose.
    fewest_images : int, the number of held-out images that a verdict needs at least.
    """

    segmenter: Segmenter
    fewest_images: int = FEWEST_IMAGES

    def __call__(
        self,
        serving: Proposer,
        candidate: Proposer,
        names: Sequence[str],
        load: Callable[[str], Sample],
        progress: ProgressCallback,
    ) -> Verdict:
        """Let both propose on the held-out images, and judge the candidate; see `sam_backend.finetune.verdict.Gate`."""
        before: list[ImageProposals] = []
        after: list[ImageProposals] = []
        for done, name in enumerate(names):
            progress(done, len(names), "Measuring proposals")
            sample = load(name)
            embedding = self.segmenter.encode(sample.image)
            for proposer, rated in ((serving, before), (candidate, after)):
                proposals = proposer.propose(self.segmenter, embedding, limit=MAX_PROPOSALS)
                rated.append(rate_proposals(sample, [(one.mask, one.label, one.score) for one in proposals]))
        return judge(before, after, serving.name)


def judge(before: Sequence[ImageProposals], after: Sequence[ImageProposals], name: str) -> Verdict:
    """Judge a candidate by its proposals and by those of what serves on the same held-out images.

    It passes if its panoptic quality is better by more than its uncertainty (the 95 % interval of the bootstrap over
    images) and by `SMALLEST_GAIN` at least. Panoptic quality counts objects that are found, how well, and false
    proposals in one number, as an annotator pays for them.

    Parameters
    ----------
    before, after : the proposals for each image of what serves, and of the candidate.
    name : str, what serves, for the reason.
    """
    qualities = [ProposalQuality(images) for images in (before, after)]
    metrics = {
        "proposals.panoptic": [quality.panoptic for quality in qualities],
        "proposals.recall": [quality.recall for quality in qualities],
        "proposals.false_per_image": [quality.false_per_image for quality in qualities],
    }
    if len(before) < FEWEST_IMAGES:
        needed = f"Only {len(before)} images are held out; {FEWEST_IMAGES} are needed for a verdict."
        return Verdict(False, needed, metrics)
    gain, low, high = panoptic_gain(before, after)
    old, new = qualities
    sentence = (
        f"Proposals against {name} on {len(before)} held-out images: panoptic quality {old.panoptic:.3f} -> "
        f"{new.panoptic:.3f}, {gain:+.3f} ({low:+.3f} to {high:+.3f}); objects found {old.recall:.0%} -> "
        f"{new.recall:.0%}; false proposals an image {old.false_per_image:.2f} -> {new.false_per_image:.2f}."
    )
    passed = low > 0 and gain >= SMALLEST_GAIN
    return Verdict(passed, sentence if passed else f"No better than what serves: {sentence}", metrics)
