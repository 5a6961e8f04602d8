"""Refinement: each click corrects the mask of the clicks before it, as SAM was trained."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Hashable
from dataclasses import dataclass, replace

from cachetools import LRUCache

from sam_backend.arrays import FloatArray
from sam_backend.segmenters.protocol import POSITIVE, Candidates, Embedding, Prompt, Segmenter, Window

_MEMO_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class EarlierLogits:
    """Logits (h, w) of an answer, fed back with the next click, and the window of the image that they show."""

    logits: FloatArray
    window: Window | None = None


class LogitsMemo:
    """Low-resolution logits of recent answers, so that the next click costs one decoding.

    Missing logits are computed again, so answers never depend on this memo. Safe to share between threads.

    Parameters
    ----------
    limit_bytes : int, the limit of the logits held; the least recently used are dropped first.
    """

    def __init__(self, limit_bytes: int = _MEMO_BYTES) -> None:
        self._answers: LRUCache[Hashable, EarlierLogits] = LRUCache(
            limit_bytes, getsizeof=lambda earlier: earlier.logits.nbytes
        )
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> EarlierLogits | None:
        """Return the logits kept for `key`, or None."""
        with self._lock:
            return self._answers.get(key)

    def put(self, key: Hashable, earlier: EarlierLogits) -> None:
        """Keep the logits of the answer to `key`."""
        with self._lock:
            if earlier.logits.nbytes <= self._answers.maxsize:
                self._answers[key] = earlier


def refine(segmenter: Segmenter, embedding: Embedding, prompt: Prompt, memo: LogitsMemo, image: str) -> Candidates:
    """Answer a prompt whose points were given one after the other.

    The answer to points p1 ... pn is defined from the answer to p1 ... pn-1 with the same box: its logits go in as the
    mask prompt. The first answer is the one to the box alone or, without a box, to the points up to the first
    positive one: a negative point alone says nothing about what is wanted. The definition depends on the prompt only,
    so a server that was restarted gives the same mask.

    Parameters
    ----------
    segmenter : Segmenter, the model.
    embedding : Embedding, the model's encoding of the image.
    prompt : Prompt, points in the order in which they were given, and perhaps a box. A prompt with logits is decoded
        as it is.
    memo : LogitsMemo, the logits of earlier answers.
    image : str, unique for the image and the version of the segmenter; part of the keys of `memo`.

    Returns
    -------
    Candidates
        One candidate: the one with the highest predicted IoU for a lone click, the single-mask output for more.
    """
    if prompt.logits is not None:
        return _only(segmenter.decode(embedding, [prompt])[0])
    first = _first_answer(prompt)
    count = len(prompt.points)
    earlier: EarlierLogits | None = None
    start = first
    for answered in range(count - 1, first - 1, -1):
        earlier = memo.get(_key(image, prompt, answered))
        if earlier is not None:
            start = answered + 1
            break
    for step in range(start, count + 1):
        points = Prompt(prompt.points[:step], prompt.labels[:step], prompt.box)
        if earlier is not None:
            points = replace(points, logits=earlier.logits, window=earlier.window)
        answer = _only(segmenter.decode(embedding, [points])[0])
        earlier = EarlierLogits(answer.logits[0], answer.window)
        memo.put(_key(image, prompt, step), earlier)
    return answer


def _first_answer(prompt: Prompt) -> int:
    """Return the number of points in the first answer of the chain."""
    if prompt.box is not None:
        return 0
    positive = (prompt.labels == POSITIVE).nonzero()[0]
    return int(positive[0]) + 1 if len(positive) else len(prompt.points)


def _key(image: str, prompt: Prompt, count: int) -> Hashable:
    box = b"" if prompt.box is None else prompt.box.tobytes()
    parts = (image.encode(), box, prompt.points[:count].tobytes(), prompt.labels[:count].tobytes())
    # A digest, because the points of a long prompt would not count for the limit of the memo.
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()


def _only(candidates: Candidates) -> Candidates:
    best = slice(candidates.best, candidates.best + 1)
    return replace(
        candidates,
        masks=candidates.masks[best],
        predicted_iou=candidates.predicted_iou[best],
        logits=candidates.logits[best],
    )
