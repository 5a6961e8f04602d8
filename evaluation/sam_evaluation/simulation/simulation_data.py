"""Which images of a data set are labelled, in which order, and which are only measured."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sam_backend.progress import ProgressCallback, no_progress
from sam_evaluation import statistics
from sam_evaluation.datasets.registry import DatasetSpec, fingerprint
from sam_evaluation.errors import BrokenSampleError, EvaluationError
from sam_evaluation.humans import human_agreement
from sam_evaluation.left_out import CountedDataset
from sam_evaluation.report.numbers import count

_TRAINING = ("training", "train", "Train")
"""Names of the training split in the formats."""

_MEASURED_SHARE = 0.25

_COMPARED = 50
"""Images on which people are compared, about."""


@dataclass(frozen=True)
class SimulationData:
    """The two sides of a data set.

    Attributes
    ----------
    labelled : DatasetSpec of the images to label.
    names : names of all images that may be labelled.
    measured : DatasetSpec of the images to measure.
    measured_names : names of the images on which quality is measured.
    fingerprint : str, changes when the files of the data set change.
    """

    labelled: DatasetSpec
    names: tuple[str, ...]
    measured: DatasetSpec
    measured_names: tuple[str, ...]
    fingerprint: str

    def stream(self, budget: int, seed: int) -> tuple[str, ...]:
        """Return `budget` random images in random order; both depend on the seed alone."""
        order = np.random.default_rng(seed).permutation(len(self.names))[:budget]
        return tuple(self.names[index] for index in order)

    def left_out(self, budget: int, seeds: int, progress: ProgressCallback = no_progress) -> list[str]:
        """Return one sentence for each reason why something of the images of all runs was not used."""
        streams = sorted({name for seed in range(seeds) for name in self.stream(budget, seed)})
        sides = [(self.labelled, streams), (self.measured, list(self.measured_names))]
        total = sum(len(names) for _, names in sides)
        done, sentences = 0, []
        for spec, names in sides:
            counted = CountedDataset(
                spec.open(), f"{spec.format}:{spec.folder}" + (f"@{spec.split}" * bool(spec.split))
            )
            for name in names:
                with suppress(BrokenSampleError):
                    counted.load(name)
                done += 1
                progress(done, total)
            sentences += counted.sentences()
        return list(dict.fromkeys(sentences))


def people_agreement(
    data: SimulationData, budget: int, seeds: int, progress: ProgressCallback = no_progress
) -> dict[str, float] | None:
    """Return value, low and high of the mean IoU of two people's outlines of an object, on some images of all runs.

    None if every image has one annotator. Pairs and metric are those of `human_agreement`.
    """
    names = sorted({name for seed in range(seeds) for name in data.stream(budget, seed)})
    names = names[:: max(1, len(names) // _COMPARED)]
    dataset, parts = data.labelled.open(), []
    for done, name in enumerate(names):
        progress(done, len(names))
        parts.append(human_agreement(dataset, [name]))
    progress(len(names), len(names))
    pairs = pd.concat(parts, ignore_index=True)
    if pairs.empty:
        return None
    agreement = statistics.mean(pairs["iou"], pairs["sample"])
    return {"value": agreement.value, "low": agreement.low, "high": agreement.high}


def open_simulation_data(text: str, budget: int, measured: int) -> SimulationData:
    """Split a data set into images to label and images to measure.

    The training split is labelled; the split that an evaluation uses by default is measured. If the format has no
    training split, or if the text names a split, a quarter of the images is measured, chosen by a digest of the names.

    Parameters
    ----------
    text : str, `format:folder` or `format:folder@split`.
    budget : number of images to label.
    measured : largest number of images to measure.

    Raises
    ------
    EvaluationError
        If there is no such data set, or if it has fewer than `budget` images to label.
    """
    spec = DatasetSpec.parse(text)
    labelled, names, test, held_out = _two_sides(spec)
    if budget > len(names):
        raise EvaluationError(
            f"{text} has {count(len(names), 'image')} to label, and --budget asks for {budget:,}; "
            f"ask for {len(names):,} at most."
        )
    chosen = np.random.default_rng(0).permutation(len(held_out))[:measured]
    measured_names = tuple(held_out[index] for index in sorted(chosen.tolist()))
    return SimulationData(labelled, tuple(names), test, measured_names, fingerprint(spec.folder, times=True))


def _two_sides(spec: DatasetSpec) -> tuple[DatasetSpec, Sequence[str], DatasetSpec, Sequence[str]]:
    all_names = spec.open().names()
    for split in _TRAINING if spec.split is None else ():
        training = replace(spec, split=split)
        try:
            names = training.open().names()
        except EvaluationError:
            continue
        # A folder without splits may return the same images for every split.
        if list(names) != list(all_names):
            return training, names, spec, all_names
    is_measured = [_hash_position(name) < _MEASURED_SHARE for name in all_names]
    sides = [
        [name for name, held in zip(all_names, is_measured, strict=True) if held is side] for side in (False, True)
    ]
    return spec, sides[0], spec, sides[1]


def _hash_position(name: str) -> float:
    # Not the digest by which fine-tuning splits images: the gate would be left without any image.
    return hashlib.sha256(f"measured\n{name}".encode()).digest()[0] / 256
