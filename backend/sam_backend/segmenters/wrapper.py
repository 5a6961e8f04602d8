"""The base of what stands before a segmenter: a subclass changes one method and leaves the others."""

from __future__ import annotations

from collections.abc import Sequence

from sam_backend.arrays import ImageArray
from sam_backend.segmenters.concepts import LEAST_SCORE, Concept, Instances, find_instances
from sam_backend.segmenters.model_info import ModelInfo
from sam_backend.segmenters.protocol import Candidates, DenseFeatures, Embedding, Prompt, Segmenter


class SegmenterWrapper:
    """A segmenter that does all as another one does.

    Parameters
    ----------
    segmenter : Segmenter, the other one; subclasses have it as `_segmenter`.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    @property
    def info(self) -> ModelInfo:
        """The segmenter's entry."""
        return self._segmenter.info

    @property
    def name(self) -> str:
        """The segmenter's name."""
        return self._segmenter.name

    @property
    def version(self) -> str:
        """The segmenter's version."""
        return self._segmenter.version

    @property
    def device(self) -> str:
        """Where the segmenter computes, for example `cpu` or `cuda:0`; `cpu` where it does not say."""
        return str(getattr(self._segmenter, "device", "cpu"))

    def encode(self, image: ImageArray) -> Embedding:
        """Encode an image; see `Segmenter.encode`."""
        return self._segmenter.encode(image)

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        """Answer prompts; see `Segmenter.decode`."""
        return self._segmenter.decode(embedding, prompts, multimask=multimask)

    def features(self, embedding: Embedding) -> DenseFeatures:
        """Return the features of an embedding; see `Segmenter.features`."""
        return self._segmenter.features(embedding)

    def find(self, embedding: Embedding, concept: Concept, *, least_score: float = LEAST_SCORE) -> Instances:
        """Find all instances of a concept; see `find_instances`."""
        return find_instances(self._segmenter, embedding, concept, least_score=least_score)
