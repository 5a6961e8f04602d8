"""What is sought on an image, and the instances that are found: all that a model sees, or what a project proposes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sam_backend.core.model_loading import WorkerModel
from sam_backend.core.project_work import ProjectWork
from sam_backend.core.proposed_masks import masks_on_image, proposed_masks
from sam_backend.core.task_embeddings import TaskEmbedding, TaskEmbeddings
from sam_backend.memory.proposals import Proposer
from sam_backend.pipeline.pipeline import Pipeline
from sam_backend.pipeline.sources import Everything
from sam_backend.samples import Cropped
from sam_backend.segmenters import Segmenter
from sam_backend.segmenters.automatic import DEFAULT_AUTOMATIC, AutomaticSettings
from sam_backend.segmenters.contrast import contrast_with_surroundings


@dataclass(frozen=True, eq=False)
class Instance:
    """One mask on an image.

    Attributes
    ----------
    mask : Cropped, in pixels of the image, not empty.
    label : str, its class; None without one.
    score : float in [0, 1], the predicted IoU, or the score of a project's proposal.
    stability : float in [0, 1], see `segmenters.automatic.Proposal`; None for a project's proposal.
    contrast : float, see `segmenters.contrast.contrast_with_surroundings`.
    """

    mask: Cropped
    label: str | None
    score: float
    stability: float | None
    contrast: float


@dataclass(frozen=True, eq=False)
class ProjectSearch:
    """What is proposed for a project, as plain data.

    Attributes
    ----------
    identity : what the proposals depend on beside the model, as JSON.
    labels : tuple of str, the classes of the project.
    proposer : Proposer; None where a pipeline does without.
    pipeline : Pipeline, proposes in its place; None without one.
    """

    identity: Mapping[str, Any]
    labels: tuple[str, ...]
    proposer: Proposer | None
    pipeline: Pipeline | None

    @classmethod
    def of(cls, work: ProjectWork) -> ProjectSearch:
        """Return what is proposed for a project now; errors as of `ProjectWork.proposer`."""
        proposer = work.proposer()
        identity = {
            "project": work.project.uid,
            "proposer": proposer.name if proposer else "none",
            "pipeline": work.pipeline.version if work.pipeline else "none",
            "examples": work.memory.store.changed(),
        }
        return cls(identity, work.labels(), proposer, work.pipeline)


@dataclass(frozen=True, eq=False)
class Search:
    """A model, and what it seeks: all that it sees, or what is proposed for a project, as in its pre-annotation.

    Attributes
    ----------
    segmenter : Segmenter.
    embeddings : TaskEmbeddings, keeps what is encoded.
    automatic : AutomaticSettings; those of a project are its own.
    project : ProjectSearch; None without a project.
    model : WorkerModel, how workers elsewhere load the same model; None where all is done here.
    """

    segmenter: Segmenter
    embeddings: TaskEmbeddings
    automatic: AutomaticSettings = DEFAULT_AUTOMATIC
    project: ProjectSearch | None = None
    model: WorkerModel | None = None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the instances on an image depend on, as JSON."""
        if self.project is None:
            settings = dataclasses.asdict(self.automatic)
            # How many clicks are decoded at once changes no mask.
            settings.pop("points_per_batch")
            return {"model": self.segmenter.version, **settings}
        return {"model": self.segmenter.version, **self.project.identity}

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes of the project; none without one."""
        return self.project.labels if self.project else ()

    def fetch(self, file: bytes, name: str) -> TaskEmbedding:
        """Return the embedding of an image's file; SamInspectError if it cannot be used."""
        return self.embeddings.fetch_file(self.segmenter, file, name)

    def instances(self, fetched: TaskEmbedding) -> list[Instance]:
        """Return the instances on an image, the highest score first."""
        if self.project is None:
            masks = masks_on_image(self.segmenter, fetched, None, Everything(**dataclasses.asdict(self.automatic)))
        else:
            proposer, pipeline = self.project.proposer, self.project.pipeline
            masks = proposed_masks(self.segmenter, fetched, proposer, pipeline.propose if pipeline else None)
        reader = fetched.reader()
        return [
            Instance(one.mask, one.label, one.score, one.stability, contrast_with_surroundings(reader, one.mask))
            for one in masks
            if one.mask.area
        ]
