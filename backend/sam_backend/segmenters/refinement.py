"""Refinement: each click corrects the mask that the clicks before it gave, as SAM was trained."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass, replace

from cachetools import LRUCache

from sam_backend.arrays import FloatArray
from sam_backend.segmenters.protocol import POSITIVE, Candidates, Embedding, Prompt, Segmenter, Window

_MEMO_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Fed:
    """What goes back in with the next click: logits (h, w), and the window of the image that they show."""

    logits: FloatArray
    window: Window | None = None


class LogitsMemo:
    """Low-resolution logits of recent answers, so that a next click costs one decoding.

    Only a memory of what can be worked out again: without it the answers are the same, later. Safe to share
    between threads.

    Parameters
    ----------
    limit_bytes : upper limit of the logits held; the least recently used go first.
    """

    def __init__(self, limit_bytes: int = _MEMO_BYTES) -> None:
        self._answers: LRUCache[Hashable, Fed] = LRUCache(limit_bytes, getsizeof=lambda fed: fed.logits.nbytes)
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Fed | None:
        """Return what is remembered for `key`, or None."""
        with self._lock:
            return self._answers.get(key)

    def put(self, key: Hashable, fed: Fed) -> None:
        """Remember what the answer to `key` feeds to the next."""
        with self._lock:
            if fed.logits.nbytes <= self._answers.maxsize:
                self._answers[key] = fed


def refine(segmenter: Segmenter, embedding: Embedding, prompt: Prompt, memo: LogitsMemo, image: str) -> Candidates:
    """Answer a prompt whose points came one after the other.

    The answer to points p1 ... pn is defined from the answer to p1 ... pn-1 with the same box: its logits go in as the
    mask prompt. The first answer is the one to the box alone or, without a box, to the points up to the first
    positive one: a negative point alone says nothing about what is wanted. The definition depends on the prompt only,
    so a server that was restarted gives the same mask.

    Parameters
    ----------
    segmenter : made `embedding`.
    embedding : of the image.
    prompt : points in the order in which they were given, and perhaps a box. One that already carries logits is
        decoded as it is.
    memo : answers of before.
    image : names the image and the version of the segmenter, in `memo`.

    Returns
    -------
    Candidates
        One candidate: the one with the highest predicted IoU for a lone click, the single-mask output for more.
    """
    if prompt.logits is not None:
        return _only(segmenter.decode(embedding, [prompt])[0])
    first = _first_answer(prompt)
    count = len(prompt.points)
    fed: Fed | None = None
    start = first
    for answered in range(count - 1, first - 1, -1):
        fed = memo.get(_key(image, prompt, answered))
        if fed is not None:
            start = answered + 1
            break
    for step in range(start, count + 1):
        points = Prompt(prompt.points[:step], prompt.labels[:step], prompt.box)
        if fed is not None:
            points = replace(points, logits=fed.logits, window=fed.window)
        answer = _only(segmenter.decode(embedding, [points])[0])
        fed = Fed(answer.logits[0], answer.window)
        memo.put(_key(image, prompt, step), fed)
    return answer


def _first_answer(prompt: Prompt) -> int:
    """Return how many points the first answer of the chain takes in."""
    if prompt.box is not None:
        return 0
    positive = (prompt.labels == POSITIVE).nonzero()[0]
    return int(positive[0]) + 1 if len(positive) else len(prompt.points)


def _key(image: str, prompt: Prompt, count: int) -> Hashable:
    box = b"" if prompt.box is None else prompt.box.tobytes()
    return image, box, prompt.points[:count].tobytes(), prompt.labels[:count].tobytes()


def _only(candidates: Candidates) -> Candidates:
    best = slice(candidates.best, candidates.best + 1)
    return replace(
        candidates,
        masks=candidates.masks[best],
        predicted_iou=candidates.predicted_iou[best],
        logits=candidates.logits[best],
    )
