"""A second look: for a prompt on something small in the image, a crop around it is encoded and decoded instead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sam_backend.arrays import ImageArray
from sam_backend.segmenters.cache import EmbeddingCache
from sam_backend.segmenters.mask_stack import MaskStack
from sam_backend.segmenters.pixels import reader_of, with_pixels
from sam_backend.segmenters.protocol import Candidates, Embedding, Prompt, Segmenter, Window
from sam_backend.segmenters.windows import (
    contains,
    enclosing,
    logits_region,
    move_prompt,
    prompted_region,
    side_of,
    whole_image,
    window_around,
)
from sam_backend.segmenters.wrapper import SegmenterWrapper

PAYS_FROM = 2.0
"""The least magnification at which a second look pays, as measured in docs/decisions/009-a-second-look.md."""

_CROPS_BYTES = 256 * 2**20


class Focused(SegmenterWrapper):
    """A segmenter that decodes twice: the whole image, then a window around the prompted region.

    A box is the region itself; for clicks, the best mask of the whole image gives it. Where the window is much smaller
    than the image, the window's answer counts: its masks are placed in the whole image, empty outside the window, and
    its predicted IoU and logits come with `Candidates.window`. A next click with these logits stays in their window
    and costs one decoding; a positive point or a box outside the window enlarges it.

    The embedding also holds the image, 3 bytes a pixel, so that any process can encode a window. Embeddings of windows
    are kept in memory. Safe to share between threads if the segmenter is.

    Parameters
    ----------
    segmenter : Segmenter, any model.
    least_magnification : float, the least ratio of the image's longer side to the window's for a second look; 1 means
        wherever the window is smaller than the image.
    crops : EmbeddingCache or None, the cache of the windows' embeddings.
    """

    def __init__(
        self, segmenter: Segmenter, least_magnification: float = PAYS_FROM, crops: EmbeddingCache | None = None
    ) -> None:
        super().__init__(segmenter)
        self._least_magnification = least_magnification
        self._crops = crops or EmbeddingCache(_CROPS_BYTES)

    @property
    def version(self) -> str:
        """The segmenter's version with the least magnification: `nano-0123abcd-focus2`."""
        return f"{self._segmenter.version}-focus{self._least_magnification:g}"

    def encode(self, image: ImageArray) -> Embedding:
        """Encode an image, uint8 RGB (H, W, 3), and keep it in the embedding."""
        return with_pixels(self._segmenter.encode(image), image)

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        """Answer each prompt, the prompts of one window in one batch; see `Segmenter.decode`."""
        size = embedding.size
        windows = [self._window(prompt, size) for prompt in prompts]
        answers: dict[int, Candidates] = {}
        at_first = [index for index, window in enumerate(windows) if window in (None, whole_image(size))]
        if at_first:
            moved = [_in_whole(prompts[index], size) for index in at_first]
            answers |= zip(at_first, self._segmenter.decode(embedding, moved, multimask=multimask), strict=True)
        groups: dict[tuple[Window, bool], list[int]] = {}
        for index, (prompt, window) in enumerate(zip(prompts, windows, strict=True)):
            chosen = self._around(prompt, answers[index], size) if window is None else window
            if chosen != whole_image(size):
                # Decided here, since the moved prompt may have fewer points.
                several = prompt.is_ambiguous if multimask is None else multimask
                groups.setdefault((chosen, several), []).append(index)
        for (chosen, several), members in groups.items():
            moved = [move_prompt(prompts[index], chosen, size) for index in members]
            answers |= zip(members, self._decode_window(embedding, chosen, moved, several), strict=True)
        return [answers[index] for index in range(len(prompts))]

    def _window(self, prompt: Prompt, size: tuple[int, int]) -> Window | None:
        """Return the window of a prompt, or None where the whole image's answer decides."""
        region = prompted_region(prompt)
        frame = prompt.window or whole_image(size)
        if region is None or (prompt.window and contains(prompt.window, region, size)):
            return frame
        if prompt.box is not None:
            return self._worthwhile(window_around(region, size), size)
        if prompt.window is None and prompt.logits is None:
            return None
        earlier = None if prompt.logits is None else logits_region(prompt.logits, frame)
        if earlier is None:
            earlier = np.array(frame, np.float32)
        return self._worthwhile(window_around(enclosing(earlier, region), size), size)

    def _around(self, prompt: Prompt, answer: Candidates, size: tuple[int, int]) -> Window:
        region, answered = prompted_region(prompt), answer.crop(answer.best)
        if region is None or not answered.part.size:
            return whole_image(size)
        return self._worthwhile(window_around(enclosing(np.array(answered.box, np.float32), region), size), size)

    def _worthwhile(self, window: Window, size: tuple[int, int]) -> Window:
        """Return the window if it magnifies enough, else that of the whole image."""
        return window if max(size) >= self._least_magnification * side_of(window) else whole_image(size)

    def _decode_window(
        self, embedding: Embedding, window: Window, prompts: list[Prompt], multimask: bool
    ) -> list[Candidates]:
        """Answer prompts given in pixels of a window; return masks of the whole image."""
        left, top = window[:2]
        reader = reader_of(embedding)
        key = f"{self._segmenter.version} {reader.digest} {embedding.size} {window}"
        crop, _ = self._crops.fetch(key, self._segmenter, lambda: reader.part(window))
        answers = []
        for answer in self._segmenter.decode(crop, prompts, multimask=multimask):
            masks = MaskStack.of(answer.masks).placed((top, left), embedding.size)
            answers.append(Candidates(masks, answer.predicted_iou, answer.logits, window))
        return answers


def _in_whole(prompt: Prompt, size: tuple[int, int]) -> Prompt:
    """Return a prompt whose logits are those of the whole image."""
    return prompt if prompt.window in (None, whole_image(size)) else move_prompt(prompt, whole_image(size), size)
