"""Corrections behind every model: prompts that hold a mask are answered by the refiner, all others by the model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from sam_backend.arrays import ImageArray
from sam_backend.errors import BadRequestError
from sam_backend.segmenters.drawn_masks import mask_logits
from sam_backend.segmenters.pixels import reader_of, with_pixels
from sam_backend.segmenters.protocol import Candidates, Embedding, Prompt, Segmenter
from sam_backend.segmenters.refiner.refiner import Refiner
from sam_backend.segmenters.wrapper import SegmenterWrapper


class Correcting(SegmenterWrapper):
    """A segmenter that also answers prompts with a mask.

    The embedding holds the image too. Safe to share between threads if the segmenter is.

    Parameters
    ----------
    segmenter : Segmenter, any model.
    refiner : Refiner or None for the one that ships.
    """

    def __init__(self, segmenter: Segmenter, refiner: Refiner | None = None) -> None:
        super().__init__(segmenter)
        self._refiner = self._named = refiner or shipped_refiner()

    @property
    def version(self) -> str:
        """The segmenter's version and that of the refiner: `nano-0123abcd-refiner-4567cdef`."""
        return f"{self._segmenter.version}-refiner-{self._named.version}"

    @property
    def refiner(self) -> Refiner:
        """The refiner."""
        return self._refiner

    def with_refiner(self, refiner: Refiner) -> Correcting:
        """Return the same segmenter with a project's own refiner.

        Embeddings and version are the same, so that what was computed with the one serves the other.
        """
        other = Correcting(self._segmenter, refiner)
        other._named = self._named
        return other

    def encode(self, image: ImageArray) -> Embedding:
        """Encode an image, uint8 RGB (H, W, 3), and keep it in the embedding."""
        return with_pixels(self._segmenter.encode(image), image)

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        """Answer each prompt; see `Segmenter.decode`. A prompt with a mask gets one mask.

        Raises
        ------
        BadRequestError
            If the mask of a prompt has another shape than the image.
        """
        plain = [prompt for prompt in prompts if prompt.mask is None]
        answers = iter(self._segmenter.decode(embedding, plain, multimask=multimask) if plain else [])
        return [next(answers) if prompt.mask is None else self._correct(embedding, prompt) for prompt in prompts]

    def _correct(self, embedding: Embedding, prompt: Prompt) -> Candidates:
        assert prompt.mask is not None
        if prompt.mask.shape != embedding.size:
            raise BadRequestError(f"The mask to correct has the shape {prompt.mask.shape}, the image {embedding.size}.")
        correction = self._refiner.correct(reader_of(embedding), prompt.mask, prompt.points, prompt.labels)
        predicted = np.array([correction.predicted_iou], np.float32)
        return Candidates(correction.mask[None], predicted, mask_logits(correction.mask)[None])


@cache
def shipped_refiner() -> Refiner:
    """Return the refiner that ships with the package, one in a process."""
    return Refiner()
