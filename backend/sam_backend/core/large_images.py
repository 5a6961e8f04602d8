"""Answers on an image that is too large to be encoded at once: from views at its own resolution around the prompt."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from cachetools import LRUCache

from sam_backend.core.answered import Start
from sam_backend.core.clicks import Clicks
from sam_backend.core.correction import correct
from sam_backend.labelstudio.mask_runs import MaskRuns
from sam_backend.samples import Cropped
from sam_backend.segmenters import Candidates, Embedding, Prompt, Segmenter
from sam_backend.segmenters.answers_memo import AnswersMemo
from sam_backend.segmenters.cache import EmbeddingCache
from sam_backend.segmenters.image_reader import ImageReader
from sam_backend.segmenters.pixels import with_pixels
from sam_backend.segmenters.refinement import first_answer, refine
from sam_backend.segmenters.views import View
from sam_backend.segmenters.windows import contains, enclosing, prompted_region, whole_image

_CHAINS = 4096
"""Prompts whose view is remembered; another process finds it again."""


@dataclass(frozen=True, eq=False)
class Answer:
    """A mask of an image, in its box, and its predicted IoU in [0, 1]."""

    mask: Cropped
    predicted_iou: float

    @classmethod
    def of(cls, candidates: Candidates) -> Answer:
        """Return the only candidate of an image that was seen as a whole."""
        return cls(candidates.crop(0), float(candidates.predicted_iou[0]))


class LargeImage:
    """One large image, seen by views. Safe to share between threads.

    Parameters
    ----------
    key : str, unique for the image and the version of the segmenter.
    size : (H, W) in pixels.
    open_reader : function that returns the image's reader; called when pixels are needed.
    cache : EmbeddingCache, keeps the embeddings of views like those of images.
    """

    def __init__(
        self, key: str, size: tuple[int, int], open_reader: Callable[[], ImageReader], cache: EmbeddingCache
    ) -> None:
        self.key = key
        self.size = size
        self._open_reader = open_reader
        self._cache = cache

    def reader(self) -> ImageReader:
        """Return the image's reader."""
        return self._open_reader()

    def key_of(self, view: View) -> str:
        """Return the key of a view's embedding."""
        return hashlib.sha256(f"{self.key} {view.window}".encode()).hexdigest()

    def embedding(self, segmenter: Segmenter, view: View) -> Embedding:
        """Return the embedding of a view."""
        return self._cache.fetch(self.key_of(view), segmenter, lambda: view.read(self._open_reader()))[0]

    @property
    def whole(self) -> View:
        """The view of all of the image, shrunk."""
        return View(whole_image(self.size), self.size)

    def overview(self, segmenter: Segmenter) -> Embedding:
        """Return the embedding of all of the image, shrunk."""
        return self.embedding(segmenter, self.whole)

    def pixels(self, view: View) -> Embedding:
        """Return the pixels of a view without an embedding, which is all that a mask's correction needs."""
        return with_pixels(Embedding({}, view.size), view.read(self._open_reader()))


class LargeAnswers:
    """Answers prompts on large images. Safe to share between threads.

    Parameters
    ----------
    memo : AnswersMemo, earlier answers in the views.
    """

    def __init__(self, memo: AnswersMemo) -> None:
        self._memo = memo
        self._views: LRUCache[bytes, View] = LRUCache(_CHAINS)
        self._lock = threading.Lock()

    def refine(
        self, image: LargeImage, segmenter_of: Callable[[str], Segmenter], prompt: Prompt, variant: str
    ) -> Answer:
        """Answer a prompt whose points were given one after the other, as `segmenters.refinement.refine` does.

        The first view surrounds the prompt at the image's own resolution. While the mask reaches an edge of the view,
        one of twice the side is looked at; the next click begins in the view of the click before it.

        Parameters
        ----------
        image : LargeImage.
        segmenter_of : function that returns the segmenter for the view with a key.
        prompt : Prompt in pixels of the image, with a box or a positive point.
        variant : str, what else the answers depend on; part of the keys of the memo.
        """
        if prompt.drawn is not None:
            return self._in_view(image, segmenter_of, prompt, None, variant)[1]
        first, count = first_answer(prompt), len(prompt.points)
        chain = [
            replace(prompt, points=prompt.points[:step], labels=prompt.labels[:step])
            for step in range(first, count + 1)
        ]
        keys = [_digest(image, variant, step) for step in chain]
        view, done = None, 0
        for step in range(len(chain) - 1, 0, -1):
            with self._lock:
                view = self._views.get(keys[step - 1])
            if view is not None:
                done = step
                break
        for step in range(done, len(chain)):
            view, answer = self._in_view(image, segmenter_of, chain[step], view, variant)
            with self._lock:
                self._views[keys[step]] = view
        return answer

    def correct(self, image: LargeImage, segmenter: Segmenter, start: Start, drawn: Clicks, variant: str) -> Answer:
        """Correct a mask that is there, as `core.correction.correct` does, in a view around it and the clicks."""
        mask, clicks = start.mask.cropped(), start.clicks + drawn
        regions = [np.concatenate([point, point + 1]) for point in clicks.points]
        if start.mask.box is not None:
            regions.append(np.array(start.mask.box, np.float32))
        view = View.around(enclosing(*regions), image.size)
        while True:
            before = view.seen(mask)
            local = Start(start.region, MaskRuns.of_mask(before), _moved(view, start.clicks))
            key = f"{image.key_of(view)} {variant}"
            answer = correct(segmenter, image.pixels(view), local, _moved(view, drawn), self._memo, key)
            after = answer.masks[0]
            if view.is_whole or not view.cuts(after & ~before):
                changed = mask.joined(view.placed(after & ~before)).without(view.placed(before & ~after))
                return Answer(changed, float(answer.predicted_iou[0]))
            view = view.grown()

    def _in_view(
        self,
        image: LargeImage,
        segmenter_of: Callable[[str], Segmenter],
        prompt: Prompt,
        view: View | None,
        variant: str,
    ) -> tuple[View, Answer]:
        region = prompted_region(prompt)
        assert region is not None
        if view is None:
            view = View.around(region, image.size)
        elif not contains(view.window, region, image.size):
            view = View.around(enclosing(np.array(view.window, np.float32), region), image.size)
        while True:
            key = image.key_of(view)
            segmenter = segmenter_of(key)
            answer = refine(
                segmenter, image.embedding(segmenter, view), view.prompt(prompt), self._memo, f"{key} {variant}"
            )
            if view.is_whole or not view.cuts(answer.masks[0]):
                return view, Answer(view.placed(answer.masks[0]), float(answer.predicted_iou[0]))
            view = view.grown()


def _digest(image: LargeImage, variant: str, prompt: Prompt) -> bytes:
    box = b"" if prompt.box is None else prompt.box.tobytes()
    parts = (image.key.encode(), variant.encode(), box, prompt.points.tobytes(), prompt.labels.tobytes())
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()


def _moved(view: View, clicks: Clicks) -> Clicks:
    return Clicks(view.points(clicks.points), clicks.labels)
