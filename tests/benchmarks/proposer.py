"""A proposer against the memory, `python tests/benchmarks/proposer.py neu_seg:DATA/neu_seg --accepted 200`.

Some images of the labelled side of a data set, drawn at random, are accepted; both learn them. The proposer is trained
as the service does it, with its gate, on three quarters of them; the memory learns all. Images of the other side are
measured: the pixel IoU, the mean over the classes; recall of objects at an IoU of 0.5, of all and by size; false
proposals an image; the calibration error (ECE) of the scores, and what it would be by chance if they were exact. With
--work, a training that was interrupted goes on, and so does the measurement; another training begins with the weights
of the last one, and --steps 0 judges these again.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
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
from sam_evaluation.metrics import calibration_error_by_chance
from sam_evaluation.proposal_gate import MAX_PROPOSALS, ProposalGate
from sam_evaluation.proposal_quality import ImageProposals, ProposalQuality, rate_proposals
from sam_evaluation.simulation.simulation_data import open_simulation_data
from sam_evaluation.summary_tables import SIZES


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
    with open_run(work, options.data, model, show) as run:
        outcome = train_proposer(job, run, versions)
    print(f"\n{outcome.verdict.reason}", flush=True)
    proposers = []
    if not options.no_memory:
        folder = Path(tempfile.mkdtemp())
        shown = {name: [target.label for target in accepted.load(name).objects] for name in accepted.names()}
        proposers.append(memory_of(shown, accepted.load, segmenter, folder))
    if versions.current(model) != SHIPPED:
        proposers.append(TrainedProposer(versions.checkpoint(model), threads=1))
        print(proposers[-1].manifest, flush=True)
    measured = data.measured.open()
    rated = {proposer.name: rated_before(work, proposer.name) for proposer in proposers}
    for done, name in enumerate(data.measured_names):
        waiting = [proposer for proposer in proposers if name not in rated[proposer.name]]
        if not waiting:
            continue
        sample = measured.load(name)
        embedding = segmenter.encode(sample.image)
        for proposer in waiting:
            proposals = proposer.propose(segmenter, embedding, limit=MAX_PROPOSALS)
            made = rate_proposals(sample, [(p.mask, p.label, p.score) for p in proposals])
            rated[proposer.name][name] = made
            with journal(work, proposer.name).open("a") as file:
                file.write(json.dumps({"image": name} | asdict(made)) + "\n")
        print(f"\r{done + 1} of {len(data.measured_names)} images are measured", end="", flush=True)
    print()
    table = Table(
        "proposer", "pixel IoU", "recall", *SIZES, "false an image", "panoptic", "ECE", "by chance", title=options.data
    )
    for name, images in rated.items():
        quality = ProposalQuality(list(images.values()))
        by_size = ["{:.2f} of {}".format(*quality.recall_by_size.get(size, (np.nan, 0))) for size in SIZES]
        by_chance = calibration_error_by_chance([score for image in images.values() for score in image.scores])
        figures = (quality.false_per_image, quality.panoptic, quality.calibration_error, by_chance)
        pixel = np.mean(list(quality.pixel_iou.values()))
        table.add_row(name, f"{pixel:.3f}", f"{quality.recall:.3f}", *by_size, *(f"{value:.3f}" for value in figures))
    Console(width=170).print(table)


def show(status):
    print(f"\r{status.doing}, step {status.step} of {status.steps}", end="", flush=True)


def journal(work, name):
    return work / f"measured-{name}.jsonl"


def rated_before(work, name):
    """Return what was measured of a proposer before the benchmark was interrupted: image -> ImageProposals."""
    path = journal(work, name)
    lines = map(json.loads, path.read_text().splitlines()) if path.exists() else ()
    return {line.pop("image"): ImageProposals(**line) for line in lines}


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
