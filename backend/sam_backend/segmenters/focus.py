"""A second look: where what was shown is small in the image, a crop around it is encoded and decoded instead."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from sam_backend.arrays import ImageArray
from sam_backend.segmenters.cache import EmbeddingCache
from sam_backend.segmenters.protocol import Candidates, Embedding, Prompt, Segmenter, Window
from sam_backend.segmenters.windows import (
    holds,
    joined,
    logits_region,
    mask_region,
    move_prompt,
    shown_region,
    side_of,
    whole,
    window_around,
)
from sam_backend.segmenters.wrapper import SegmenterWrapper

PAYS_FROM = 2.0
"""Magnification from which a second look was measured to pay; docs/decisions/009-a-second-look.md has the numbers."""

_CROPS_BYTES = 256 * 2**20
_IMAGE, _DIGEST = "focus.image", "focus.digest"


class Focused(SegmenterWrapper):
    """A segmenter that looks twice: at the whole image, and at a window around what the prompt shows.

    A box says by itself where to look; for clicks, the best mask of the whole image does. Where the window is much
    smaller than the image, the window's answer is the answer: its masks in the whole image, nothing outside the
    window, and its own predicted IoU and logits, with `Candidates.window`. A next click that brings these logits back
    stays in their window and costs one decoding; a positive point or a box outside it makes it larger.

    The embedding holds the image as well, 3 bytes a pixel, so that any process can look again. Embeddings of windows
    are kept in memory. Safe to share between threads if the segmenter is.

    Parameters
    ----------
    segmenter : any.
    least_magnification : how many times a window's longer side must fit into the image's for a second look; at 1,
        wherever the window is smaller than the image.
    crops : keeps the embeddings of windows.
    """

    def __init__(
        self, segmenter: Segmenter, least_magnification: float = PAYS_FROM, crops: EmbeddingCache | None = None
    ) -> None:
        super().__init__(segmenter)
        self._least_magnification = least_magnification
        self._crops = crops or EmbeddingCache(_CROPS_BYTES)

    @property
    def version(self) -> str:
        """The segmenter's, and from which magnification on it looks twice: `nano-0123abcd-focus2`."""
        return f"{self._segmenter.version}-focus{self._least_magnification:g}"

    def encode(self, image: ImageArray) -> Embedding:
        """Encode an image, uint8 RGB (H, W, 3), and keep it."""
        embedding = self._segmenter.encode(image)
        kept = np.ascontiguousarray(image)
        digest = np.frombuffer(hashlib.blake2b(kept.data, digest_size=16).digest(), np.uint8)
        return Embedding({**embedding.arrays, _IMAGE: kept, _DIGEST: digest}, embedding.size)

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        """Answer each prompt, the prompts of one window in one batch; see `Segmenter.decode`."""
        size = embedding.size
        windows = [self._window(prompt, size) for prompt in prompts]
        answers: dict[int, Candidates] = {}
        at_first = [index for index, window in enumerate(windows) if window in (None, whole(size))]
        if at_first:
            shown = [_in_whole(prompts[index], size) for index in at_first]
            answers |= zip(at_first, self._segmenter.decode(embedding, shown, multimask=multimask), strict=True)
        groups: dict[tuple[Window, bool], list[int]] = {}
        for index, (prompt, window) in enumerate(zip(prompts, windows, strict=True)):
            chosen = self._around(prompt, answers[index], size) if window is None else window
            if chosen != whole(size):
                # Decided here: a window may lack points of the prompt.
                several = prompt.is_ambiguous if multimask is None else multimask
                groups.setdefault((chosen, several), []).append(index)
        for (chosen, several), members in groups.items():
            seen = [move_prompt(prompts[index], chosen, size) for index in members]
            answers |= zip(members, self._look(embedding, chosen, seen, several), strict=True)
        return [answers[index] for index in range(len(prompts))]

    def _window(self, prompt: Prompt, size: tuple[int, int]) -> Window | None:
        """Return where to look, or None where the whole image's answer has to tell."""
        shown = shown_region(prompt)
        frame = prompt.window or whole(size)
        if shown is None or (prompt.window and holds(prompt.window, shown, size)):
            return frame
        if prompt.box is not None:
            return self._worthwhile(window_around(shown, size), size)
        if prompt.window is None and prompt.logits is None:
            return None
        found = None if prompt.logits is None else logits_region(prompt.logits, frame)
        if found is None:
            found = np.array(frame, np.float32)
        return self._worthwhile(window_around(joined(found, shown), size), size)

    def _around(self, prompt: Prompt, answer: Candidates, size: tuple[int, int]) -> Window:
        shown, found = shown_region(prompt), mask_region(answer.masks[answer.best])
        if shown is None or found is None:
            return whole(size)
        return self._worthwhile(window_around(joined(found, shown), size), size)

    def _worthwhile(self, window: Window, size: tuple[int, int]) -> Window:
        """Return the window where it magnifies enough, else that of the whole image."""
        return window if max(size) >= self._least_magnification * side_of(window) else whole(size)

    def _look(self, embedding: Embedding, window: Window, prompts: list[Prompt], multimask: bool) -> list[Candidates]:
        """Answer prompts in pixels of a window, with masks of the whole image."""
        left, top, right, bottom = window
        image = np.asarray(embedding.arrays[_IMAGE], np.uint8)
        key = f"{self._segmenter.version} {embedding.arrays[_DIGEST].tobytes().hex()} {embedding.size} {window}"
        crop, _ = self._crops.fetch(key, self._segmenter, lambda: image[top:bottom, left:right])
        answers = []
        for answer in self._segmenter.decode(crop, prompts, multimask=multimask):
            masks = np.zeros((len(answer.masks), *embedding.size), np.bool_)
            masks[:, top:bottom, left:right] = answer.masks
            answers.append(Candidates(masks, answer.predicted_iou, answer.logits, window))
        return answers


def _in_whole(prompt: Prompt, size: tuple[int, int]) -> Prompt:
    """Return a prompt for the whole image, as it is where its logits are of the whole image."""
    return prompt if prompt.window in (None, whole(size)) else move_prompt(prompt, whole(size), size)
