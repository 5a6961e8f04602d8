"""A proposer against the memory, `python tests/benchmarks/proposer.py neu_seg:DATA/neu_seg --accepted 200`.

Some images of the labelled side of a data set, drawn at random, are accepted; both learn them. The proposer is trained
as the service does it, with its gate, on three quarters of them; the memory learns all. Images of the other side are
measured: the pixel IoU, the mean over the classes; recall of objects at an IoU of 0.5, of all and by size; false
proposals an image; the calibration error (ECE) of the scores. With --work, a training goes on where the last one ended.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# ruff: noqa: E402 - the path comes first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from sam_backend.finetune.training_run import open_run
from sam_backend.finetune.versions import SHIPPED, Versions
from sam_backend.proposer.job import ProposerJob, train_proposer
from sam_backend.proposer.memory_rival import memory_of
from sam_backend.proposer.trained import TrainedProposer
from sam_backend.proposer.training import ProposerRecipe
from sam_backend.segmenters.model_registry import load_segmenter
from sam_evaluation.proposal_gate import MAX_PROPOSALS, ProposalGate
from sam_evaluation.proposal_quality import SIZES, ProposalQuality, rate_proposals
from sam_evaluation.simulation.simulation_data import open_simulation_data


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="format:folder")
    parser.add_argument("--accepted", type=int, default=200)
    parser.add_argument("--images", type=int, default=200, help="images that are measured")
    parser.add_argument("--minutes", type=float, default=ProposerRecipe.minutes)
    parser.add_argument("--steps", type=int, default=ProposerRecipe.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="folder that is kept, with weights and versions")
    parser.add_argument("--no-memory", action="store_true", help="measure the proposer alone")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    segmenter = load_segmenter("nano", threads=1)
    data = open_simulation_data(options.data, options.accepted, options.images)
    accepted = Accepted(data.labelled.open(), data.stream(options.accepted, options.seed))
    work = options.work or Path(tempfile.mkdtemp())
    versions, model = Versions(work / "models"), "proposer:benchmark"
    recipe = ProposerRecipe(steps=options.steps, minutes=options.minutes, seed=options.seed)
    job = ProposerJob(accepted, model, options.data, recipe, ProposalGate(segmenter), segmenter)
    with open_run(work, options.data, model, lambda status: print(f"\r{status.doing} {status.step}", end="")) as run:
        outcome = train_proposer(job, run, versions)
    print(f"\n{outcome.verdict.reason}")
    proposers = []
    if not options.no_memory:
        folder = Path(tempfile.mkdtemp())
        proposers.append(memory_of(accepted.names(), accepted.load, segmenter, folder))
    if versions.current(model) != SHIPPED:
        proposers.append(TrainedProposer(versions.checkpoint(model), threads=1))
        print(proposers[-1].manifest)
    measured = data.measured.open()
    rated = {proposer.name: [] for proposer in proposers}
    for name in data.measured_names:
        sample = measured.load(name)
        embedding = segmenter.encode(sample.image)
        for proposer in proposers:
            proposals = proposer.propose(segmenter, embedding, limit=MAX_PROPOSALS)
            rated[proposer.name].append(rate_proposals(sample, [(p.mask, p.label, p.score) for p in proposals]))
    sizes = [f"{low}-{high or ''} px" for low, high in SIZES]
    table = Table("proposer", "pixel IoU", "recall", *sizes, "false an image", "panoptic", "ECE", title=options.data)
    for name, images in rated.items():
        quality = ProposalQuality(images)
        by_size = ["{:.2f} of {}".format(*quality.recall_of(size)) for size in SIZES]
        figures = (quality.false_per_image, quality.panoptic, quality.calibration_error)
        pixel = np.mean(list(quality.pixel_iou.values()))
        table.add_row(name, f"{pixel:.3f}", f"{quality.recall:.3f}", *by_size, *(f"{value:.3f}" for value in figures))
    Console(width=170).print(table)


@dataclass(frozen=True)
class Accepted:
    """Some images of a data set."""

    dataset: object
    chosen: tuple[str, ...]

    def names(self):
        return self.chosen

    def load(self, name):
        return self.dataset.load(name)


if __name__ == "__main__":
    main()
