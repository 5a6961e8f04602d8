"""Which images of a data set are labelled, in which order, and which are measured and never labelled."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sam_evaluation.datasets.registry import DatasetSpec, fingerprint
from sam_evaluation.errors import EvaluationError
from sam_evaluation.report.numbers import count

_TRAINING = ("training", "train", "Train")
"""What the training splits of the formats are called."""

_MEASURED_SHARE = 0.25


@dataclass(frozen=True)
class Data:
    """The two sides of a data set.

    Attributes
    ----------
    labelled : what images to label are read from.
    names : of all images that may be labelled.
    measured : what images to measure are read from.
    measured_names : of the images that quality is measured on.
    stamp : changes with the files of the data set.
    """

    labelled: DatasetSpec
    names: tuple[str, ...]
    measured: DatasetSpec
    measured_names: tuple[str, ...]
    stamp: str

    def stream(self, budget: int, seed: int) -> tuple[str, ...]:
        """Return `budget` images at random in a random order: both depend on the seed alone."""
        order = np.random.default_rng(seed).permutation(len(self.names))[:budget]
        return tuple(self.names[index] for index in order)


def open_data(text: str, budget: int, measured: int) -> Data:
    """Take a data set apart.

    The training split is labelled and the split that is evaluated by default is measured. A quarter, by a digest of
    the names, is measured where the format has no training split or where a split is named.

    Parameters
    ----------
    text : `format:folder` or `format:folder@split`.
    budget : how many images are to be labelled.
    measured : how many images at most are measured.

    Raises
    ------
    EvaluationError
        If there is no such data set, or fewer images to label than `budget`.
    """
    spec = DatasetSpec.parse(text)
    labelled, names, test, held_out = _apart(spec)
    if budget > len(names):
        raise EvaluationError(
            f"{text} has {count(len(names), 'image')} to label, and --budget asks for {budget:,}; "
            f"ask for {len(names):,} at most."
        )
    chosen = np.random.default_rng(0).permutation(len(held_out))[:measured]
    some = tuple(held_out[index] for index in sorted(chosen.tolist()))
    return Data(labelled, tuple(names), test, some, fingerprint(spec.folder, times=True))


def _apart(spec: DatasetSpec) -> tuple[DatasetSpec, Sequence[str], DatasetSpec, Sequence[str]]:
    every = spec.open().names()
    for split in _TRAINING if spec.split is None else ():
        training = replace(spec, split=split)
        try:
            names = training.open().names()
        except EvaluationError:
            continue
        # A folder without splits may give the same images for every split.
        if list(names) != list(every):
            return training, names, spec, every
    is_measured = [_place(name) < _MEASURED_SHARE for name in every]
    halves = [[name for name, held in zip(every, is_measured, strict=True) if held is side] for side in (False, True)]
    return spec, halves[0], spec, halves[1]


def _place(name: str) -> float:
    # Not by the digest that fine-tuning splits by, which would leave the gate without any image.
    return hashlib.sha256(f"measured\n{name}".encode()).digest()[0] / 256
