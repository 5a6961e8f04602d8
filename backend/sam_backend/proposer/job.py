"""From accepted images to a proposer that serves: read, train, export, calibrate, judge, promote."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sam_backend.finetune.examples import Examples, SampleSource, Split, TooFewMasksError, read_examples
from sam_backend.finetune.part_training import PartOutcome, end, step_reporter
from sam_backend.finetune.training_run import TrainingRun
from sam_backend.finetune.verdict import Gate
from sam_backend.finetune.versions import Version, Versions
from sam_backend.memory.proposals import Proposal, Proposer
from sam_backend.proposer.calibration import calibrate
from sam_backend.proposer.crops import CropSource
from sam_backend.proposer.export import export_proposer
from sam_backend.proposer.manifest import Manifest
from sam_backend.proposer.memory_rival import memory_of
from sam_backend.proposer.net import ProposerNet, continued_net, write_net
from sam_backend.proposer.scale import ImageFacts, least_area, scale_for
from sam_backend.proposer.trained import TrainedProposer
from sam_backend.proposer.training import CROP, ProposerRecipe, Saved, train
from sam_backend.segmenters import Embedding, Segmenter

WEIGHTS = "weights.safetensors"
"""Name of the file in the work folder from which the next training goes on, whether or not its result served."""

_CHECKPOINT = "checkpoint.pt"
_MEMORY = "memory"

_JUDGED = 200
"""Held-out images at most that scores are fitted to and that are judged: each costs seconds."""


@dataclass(frozen=True)
class ProposerJob:
    """A training of a proposer to be done.

    Attributes
    ----------
    source : SampleSource, the accepted images, those without objects too.
    model : str, the name of the project's proposer among the versions; see `proposer_of`.
    data : str, what users call this data.
    recipe : ProposerRecipe.
    gate : Gate, which decides whether the result may serve.
    segmenter : Segmenter that serves: the memory uses its features, and it polishes masks.
    limit : int or None, about this many images; None for all.
    """

    source: SampleSource
    model: str
    data: str
    recipe: ProposerRecipe
    gate: Gate[Proposer]
    segmenter: Segmenter
    limit: int | None = None


class NoProposals:
    """Proposes nothing: what serves where there is neither an example nor a proposer."""

    name = "nothing"

    def propose(self, segmenter: Segmenter, embedding: Embedding, *, limit: int | None = None) -> list[Proposal]:
        """Return no proposals."""
        return []


def train_proposer(job: ProposerJob, run: TrainingRun, versions: Versions) -> PartOutcome:
    """Train a proposer inside an open run, and let it serve if it passes the gate.

    It goes on from the weights of the last training in the same work folder, or from its checkpoint if that one was
    interrupted. A version is kept only if it passes.

    Parameters
    ----------
    job : ProposerJob.
    run : TrainingRun, whose folder keeps the weights.
    versions : Versions of the proposer.

    Raises
    ------
    TooFewMasksError
        If there are too few images; the message says how many more are needed.
    SamInspectError
        If the data cannot be read, or a loss is not finite.
    OSError
        If the disk is full, for example.
    """
    run.show(doing="Reading images and masks")
    examples = read_examples(job.source, job.limit, with_empty=True)
    examples.require_enough(job.gate.fewest_images)
    # Nothing is chosen on the validation images, so they are learnt from, too.
    names = [*examples.names[Split.TRAINING], *examples.names[Split.VALIDATION]]
    images = [ImageFacts.of(examples.load(name)) for name in names]
    labels = tuple(sorted({label for image in images for label in image.labels}))
    if not labels:
        raise TooFewMasksError("None of the training images has a mask; accept some.")
    scale = scale_for(images)
    torch.manual_seed(job.recipe.seed)
    net = continued_net(labels, run.work / WEIGHTS)
    source = CropSource(images, lambda index: examples.load(names[index]), labels, scale, CROP)
    saved = Saved(run.work / _CHECKPOINT, f"{examples.fingerprint} {_digest(run.work / WEIGHTS)}")
    report = step_reporter(run.show)
    show_loss = lambda step, steps, loss: report(step, steps, f"Training the proposer, loss {loss:.2f}")  # noqa: E731
    train(net, source, job.recipe, show_loss, saved=saved)
    write_net(net, labels, run.work / WEIGHTS)
    saved.path.unlink(missing_ok=True)
    run.show(doing="Exporting", seconds_left=None)
    with versions.staging(job.model) as folder:
        candidate = _export(net, Manifest(labels, scale, least_area(images, scale)), examples, job.segmenter, folder)
        shown = {name: image.labels for name, image in zip(names, images, strict=True)}
        serving = _serving(job, versions, shown, examples, run)
        verdict = job.gate(
            serving,
            candidate,
            _judged(examples),
            examples.load,
            lambda done, total, doing="": run.show(doing=f"{doing}: {done} of {total} held-out images"),
        )
        version = None
        if verdict.passed:
            about = Version(
                "",
                job.model,
                candidate.name,
                serving.name,
                data=f"{job.data}, {len(names)} images",
                reason=verdict.reason,
                passed=True,
                metrics=verdict.metrics,
            )
            version = versions.add(about, folder)
    return end(PartOutcome(version, verdict, "proposes masks"), run, versions)


def _digest(weights: Path) -> str:
    return hashlib.sha256(weights.read_bytes()).hexdigest() if weights.exists() else ""


def _export(
    net: ProposerNet, manifest: Manifest, examples: Examples, segmenter: Segmenter, folder: Path
) -> TrainedProposer:
    """Write what serves into a folder, with its scores fitted to the held-out images, and load it as serving does."""
    export_proposer(net, manifest, folder)
    held_out = map(examples.load, _judged(examples))
    calibrate(TrainedProposer(folder, threads=1), held_out, segmenter).write(folder)
    return TrainedProposer(folder, threads=1)


def _judged(examples: Examples) -> Sequence[str]:
    """Return the names of the held-out images, or of some that are evenly spread among them."""
    names = examples.names[Split.HELD_OUT]
    return names[:: -(-len(names) // _JUDGED)]


def _serving(
    job: ProposerJob, versions: Versions, shown: Mapping[str, Sequence[str]], examples: Examples, run: TrainingRun
) -> Proposer:
    """Return what proposes now: the promoted proposer, or a memory of the same training images, which show labels."""
    serving = versions.serving(job.model)
    if serving.folder is not None:
        return TrainedProposer(serving.folder, threads=1)
    # A training that was killed may have left it.
    folder = run.work / _MEMORY
    shutil.rmtree(folder, ignore_errors=True)
    try:
        show = lambda done, total, doing="": run.show(doing=f"Learning {done} of {total} images as the memory does")  # noqa: E731
        return memory_of(shown, examples.load, job.segmenter, folder, show) or NoProposals()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
