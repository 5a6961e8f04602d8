"""The product's own training of a proposer on the masks that the simulated annotator accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sam_backend.finetune.examples import TooFewMasksError
from sam_backend.finetune.training_run import open_run
from sam_backend.finetune.versions import Versions
from sam_backend.memory.features import AcceptedMask
from sam_backend.progress import ProgressCallback
from sam_backend.proposer.job import ProposerJob, train_proposer
from sam_backend.proposer.training import ProposerRecipe
from sam_backend.samples import Object, Sample
from sam_backend.segmenters import Segmenter
from sam_evaluation.proposal_gate import ProposalGate
from sam_evaluation.simulation.journal import ModelTuned
from sam_evaluation.simulation.loop import PROPOSER

_DATA = "accepted masks"


@dataclass(frozen=True)
class AcceptedImages:
    """Labelled images as a source of samples.

    Attributes
    ----------
    samples : mapping, name -> Sample.
    """

    samples: Mapping[str, Sample]

    def names(self) -> Sequence[str]:
        """Return the names of all images in the order in which they were labelled."""
        return list(self.samples)

    def load(self, name: str) -> Sample:
        """Return one image and its accepted objects."""
        return self.samples[name]


def train(
    accepted: Sequence[tuple[Sample, Sequence[AcceptedMask]]],
    segmenter: Segmenter,
    images: int,
    seed: int,
    work: Path,
    versions: Versions,
    progress: ProgressCallback,
) -> ModelTuned:
    """Train the proposer of a run, and let the gate decide.

    Parameters
    ----------
    accepted : samples with their accepted masks.
    segmenter : Segmenter that serves.
    images : number of labelled images.
    seed : seed of the run.
    work : Path of the folder from which the next training goes on.
    versions : Versions of the run.
    progress : ProgressCallback, called with the steps done, all steps, and the current work.
    """
    source = AcceptedImages(
        {
            sample.name: replace(sample, objects=tuple(Object(mask.mask, mask.label) for mask in masks))
            for sample, masks in accepted
        }
    )
    job = ProposerJob(source, PROPOSER, _DATA, ProposerRecipe(seed=seed), ProposalGate(segmenter), segmenter)
    try:
        with open_run(work, _DATA, PROPOSER, lambda status: progress(status.step, status.steps, status.doing)) as run:
            outcome = train_proposer(job, run, versions)
    except TooFewMasksError as error:
        return ModelTuned(images, "", False, str(error))
    return ModelTuned(
        images, outcome.version.name if outcome.version else "", outcome.verdict.passed, outcome.verdict.reason
    )
