"""Work on image files for processes elsewhere: they encode, or propose masks; see `cluster.work.Work`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sam_backend.core.model_loading import WorkerModel
from sam_backend.core.proposed_masks import proposed_masks
from sam_backend.core.task_embeddings import TaskEmbedding, TaskEmbeddings
from sam_backend.errors import SamInspectError
from sam_backend.labelstudio.addresses import shown
from sam_backend.memory.proposals import Proposer
from sam_backend.pipeline.pipeline import Pipeline
from sam_backend.pipeline.scene import ProposedMask
from sam_backend.segmenters import Embedding, Segmenter
from sam_backend.segmenters.pixels import mapping_of


@dataclass(frozen=True)
class ImageFile:
    """The content of an image's file, and its address, which names it in messages and may name its page."""

    content: bytes
    address: str


@dataclass(frozen=True, eq=False)
class EncodeFile:
    """Encodes image files."""

    segmenter: Segmenter
    embeddings: TaskEmbeddings
    model: WorkerModel

    def __call__(self, item: ImageFile | None, /) -> Embedding | SamInspectError | None:
        """Return the embedding of a file; None for None."""
        if item is None:
            return None
        try:
            return self.embeddings.fetch_file(self.segmenter, item.content, item.address).embedding
        except SamInspectError as error:
            return error

    def elsewhere(self) -> Callable[[int], EncodeFile]:
        """Return what makes the same work in another process."""
        return partial(_encode, self.model)

    def name_of(self, item: ImageFile | None, /) -> str:
        """Return the address of a file."""
        return shown(item.address) if item else ""


@dataclass(frozen=True, eq=False)
class ImageProposals:
    """What is proposed on an image, and how the values of its file became 8 bits."""

    masks: list[ProposedMask]
    mapping: str


@dataclass(frozen=True, eq=False)
class ProposeOnImage:
    """Proposes masks by a project's proposer, or by a pipeline in its place.

    Attributes
    ----------
    segmenter : Segmenter.
    embeddings : TaskEmbeddings of image files.
    proposer : Proposer; None where a pipeline does without.
    pipeline : Pipeline; None without one.
    model : WorkerModel, how the model is loaded elsewhere.
    """

    segmenter: Segmenter
    embeddings: TaskEmbeddings
    proposer: Proposer | None
    pipeline: Pipeline | None
    model: WorkerModel | None

    def __call__(self, item: TaskEmbedding | ImageFile | SamInspectError, /) -> ImageProposals | SamInspectError:
        """Return what is proposed on an image, encoded already or not, or why it cannot be used.

        Raises
        ------
        SamInspectError
            If a step fails, or the model cannot propose.
        """
        if isinstance(item, ImageFile):
            try:
                item = self.embeddings.fetch_file(self.segmenter, item.content, item.address)
            except SamInspectError as error:
                return error
        if isinstance(item, SamInspectError):
            return item
        propose = self.pipeline.propose if self.pipeline else None
        masks = proposed_masks(self.segmenter, item, self.proposer, propose)
        return ImageProposals(masks, mapping_of(item.embedding))

    def elsewhere(self) -> Callable[[int], ProposeOnImage]:
        """Return what makes the same work in another process."""
        assert self.model is not None
        return partial(_propose, self.model, self.proposer, self.pipeline)

    def name_of(self, item: TaskEmbedding | ImageFile | SamInspectError, /) -> str:
        """Return the address of a file that is not encoded yet."""
        return shown(item.address) if isinstance(item, ImageFile) else ""


def _encode(model: WorkerModel, threads: int) -> EncodeFile:
    return EncodeFile(*model.load(threads), model)


def _propose(model: WorkerModel, proposer: Proposer | None, pipeline: Pipeline | None, threads: int) -> ProposeOnImage:
    return ProposeOnImage(*model.load(threads), proposer, pipeline, model)
