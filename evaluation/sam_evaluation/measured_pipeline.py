"""A pipeline in place of a model's own proposals, with the example memory that its step `memory` follows."""

from __future__ import annotations

import tempfile
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np

from sam_backend.memory.proposals import Proposer
from sam_backend.pipeline.pipeline import Pipeline
from sam_backend.pipeline.scene import Scene
from sam_backend.proposer.memory_rival import memory_of
from sam_backend.segmenters import Embedding, ModelInfo, Segmenter
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.errors import EvaluationError
from sam_evaluation.measurement import LIMITS, Proposed


@dataclass(frozen=True)
class MeasuredPipeline:
    """A pipeline that is measured.

    Attributes
    ----------
    file : str, the path of its file.
    version : str, the name and a hash of the file.
    examples : str, the data set whose images stand for accepted ones, as `format:folder@split`; "" for none.
    shots : int, how many of its images are accepted, drawn at random.
    """

    file: str
    version: str
    examples: str = ""
    shots: int = 50

    @classmethod
    def of(cls, file: Path, examples: str | None, shots: int) -> MeasuredPipeline:
        """Read a pipeline's file.

        Raises
        ------
        BadRequestError
            If it is no pipeline.
        EvaluationError
            If a step needs examples and there are none, or the other way round.
        """
        pipeline = Pipeline.load(file)
        if pipeline.needs_project and not examples:
            raise EvaluationError(
                f"The step memory of {file} follows accepted masks: name a data set of them with --examples, such as "
                "coco:./accepted."
            )
        if examples and not pipeline.needs_project:
            raise EvaluationError(f"No step of {file} follows examples; leave --examples out, or add a step memory.")
        return cls(str(file.resolve()), pipeline.version, examples or "", shots if examples else 0)

    def require(self, infos: Sequence[ModelInfo], datasets: Sequence[DatasetSpec]) -> None:
        """Check that models take the prompts of all steps, and that no image is both example and measured.

        Raises
        ------
        BadRequestError
            If a model does not.
        EvaluationError
            If the examples are of a data set that is measured.
        """
        pipeline = _pipeline(self.file, self.version)
        for info in infos:
            pipeline.require(info)
        if not self.examples:
            return
        own = DatasetSpec.parse(self.examples)
        for spec in datasets:
            overlaps = spec.split == own.split or not (spec.split and own.split)
            if overlaps and spec.folder.resolve() == own.folder.resolve():
                raise EvaluationError(
                    f"The examples {self.examples} are measured as well; name another folder or split with --examples."
                )

    def proposals(self, segmenter: Segmenter, embedding: Embedding, seed: int) -> Proposed:
        """Return what the pipeline finds in an image; classes count where every mask has a label.

        Raises
        ------
        EvaluationError
            If the examples have no object.
        """
        project = (
            _memory(self.examples, self.shots, seed, cast(Hashable, segmenter)).proposer if self.examples else None
        )
        found = _pipeline(self.file, self.version).propose(Scene(segmenter, embedding, project))[: max(LIMITS)]
        labels = [one.label for one in found if one.label is not None]
        scores = np.array([one.score for one in found], np.float64)
        unknown = np.full(len(found), np.nan)
        return Proposed(
            [one.mask for one in found], scores, unknown, tuple(labels) if len(labels) == len(found) else None
        )


@dataclass(frozen=True, eq=False)
class _Memory:
    """A memory, and its folder, which is removed with it."""

    folder: tempfile.TemporaryDirectory[str]
    proposer: Proposer


@cache
def _pipeline(file: str, version: str) -> Pipeline:
    """Return a pipeline; BadRequestError if its file, perhaps on another machine, has another version."""
    return Pipeline.load_version(Path(file), version)


@cache
def _memory(examples: str, shots: int, seed: int, hashable: Hashable) -> _Memory:
    """Return a memory of some images of a data set; the same ones for the same seed."""
    segmenter, dataset = cast(Segmenter, hashable), DatasetSpec.parse(examples).open()
    names = list(dataset.names())
    labels: dict[str, list[str]] = {}
    for place in np.random.default_rng(seed).permutation(len(names)):
        sample = dataset.load(names[place])
        if sample.objects:
            labels[sample.name] = [target.label for target in sample.objects]
        if len(labels) == shots:
            break
    folder = tempfile.TemporaryDirectory()
    proposer = memory_of(labels, dataset.load, segmenter, Path(folder.name))
    if proposer is None:
        raise EvaluationError(f"The examples {examples} have no object that a memory can learn.")
    return _Memory(folder, proposer)
