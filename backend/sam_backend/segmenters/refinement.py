"""Refinement: each click corrects the mask that the clicks before it gave, as SAM was trained."""

from __future__ import annotations

import threading
from collections.abc import Hashable

from cachetools import LRUCache

from sam_backend.segmenters.protocol import POSITIVE, Candidates, Embedding, FloatArray, Prompt, Segmenter

_MEMO_BYTES = 64 * 2**20


class LogitsMemo:
    """Low-resolution logits of recent answers, so that a next click costs one decoding.

    Only a memory of what can be worked out again: without it the answers are the same, later. Safe to share
    between threads.

    Parameters
    ----------
    limit_bytes : upper limit of the logits held; the least recently used go first.
    """

    def __init__(self, limit_bytes: int = _MEMO_BYTES) -> None:
        self._answers: LRUCache[Hashable, FloatArray] = LRUCache(limit_bytes, getsizeof=lambda logits: logits.nbytes)
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> FloatArray | None:
        """Return the logits (h, w) remembered for `key`, or None."""
        with self._lock:
            return self._answers.get(key)

    def put(self, key: Hashable, logits: FloatArray) -> None:
        """Remember the logits (h, w) of `key`."""
        with self._lock:
            if logits.nbytes <= self._answers.maxsize:
                self._answers[key] = logits


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
    prompt : points in the order in which they were given, and perhaps a box. One that already carries logits or a
        text is decoded as it is.
    memo : answers of before.
    image : names the image and the version of the segmenter, in `memo`.

    Returns
    -------
    Candidates
        One candidate: the one with the highest predicted IoU for a lone click, the single-mask output for more.
    """
    if prompt.logits is not None or prompt.text:
        return _only(segmenter.decode(embedding, [prompt])[0])
    first = _first_answer(prompt)
    count = len(prompt.points)
    logits: FloatArray | None = None
    start = first
    for answered in range(count - 1, first - 1, -1):
        logits = memo.get(_key(image, prompt, answered))
        if logits is not None:
            start = answered + 1
            break
    for step in range(start, count + 1):
        points = Prompt(prompt.points[:step], prompt.labels[:step], prompt.box, logits)
        answer = _only(segmenter.decode(embedding, [points])[0])
        logits = answer.logits[0]
        memo.put(_key(image, prompt, step), logits)
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
    return Candidates(candidates.masks[best], candidates.predicted_iou[best], candidates.logits[best])
