"""Refinement: each click corrects the mask of the clicks before it, as SAM was trained."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from sam_backend.samples import Cropped
from sam_backend.segmenters.answers_memo import AnswersMemo, EarlierAnswer
from sam_backend.segmenters.protocol import POSITIVE, Candidates, Embedding, Prompt, Segmenter

COVERED = 0.6
"""The least share of what a stroke runs through that a painted stroke covers; measured in decision 038."""


def next_prompt(segmenter: Segmenter, prompt: Prompt, earlier: Candidates | EarlierAnswer | None) -> Prompt:
    """Return the prompt of the next click: `prompt` with the answer to the points before its last one.

    A model whose entry says `corrections="model"` gets its logits back, as SAM was trained; behind every other one, the
    refiner corrects the mask.

    Parameters
    ----------
    segmenter : Segmenter.
    prompt : Prompt, all points so far, and perhaps a box.
    earlier : Candidates or EarlierAnswer, the answer to the prompt without its last point; None if there was none.
    """
    if earlier is None:
        return prompt
    by_model = segmenter.info.corrections == "model"
    if isinstance(earlier, Candidates):
        best = earlier.best
        if by_model:
            return replace(prompt, logits=earlier.logits[best], window=earlier.window)
        return Prompt(prompt.points, prompt.labels, mask=earlier.masks[best])
    if by_model:
        return replace(prompt, logits=earlier.logits, window=earlier.window)
    return Prompt(prompt.points, prompt.labels, mask=earlier.mask)


def refine(segmenter: Segmenter, embedding: Embedding, prompt: Prompt, memo: AnswersMemo, image: str) -> Candidates:
    """Answer a prompt whose points were given one after the other.

    The answer to points p1 ... pn is defined from the answer to p1 ... pn-1 with the same box, as `next_prompt` says.
    The first answer is the one to the box alone or, without a box, to the points up to the first positive one: a
    negative point alone says nothing about what is wanted. The definition depends on the prompt only, so a server that
    was restarted gives the same mask.

    Parameters
    ----------
    segmenter : Segmenter, the model.
    embedding : Embedding, the model's encoding of the image.
    prompt : Prompt, points in the order in which they were given, and perhaps a box. A prompt with logits, a mask or
        something drawn is decoded as it is.
    memo : AnswersMemo, earlier answers.
    image : str, unique for the image and the version of the segmenter; part of the keys of `memo`.

    Returns
    -------
    Candidates
        One candidate: the one with the highest predicted IoU for a lone click, the single mask for more.
    """
    if segmenter.info.drawn_masks == "points" or "logits" not in segmenter.info.prompts:
        prompt = replace(prompt, drawn=None)
    if prompt.drawn is not None and prompt.box is None:
        return _answer_stroke(segmenter, embedding, prompt, prompt.drawn)
    if prompt.logits is not None or prompt.mask is not None or prompt.drawn is not None:
        return _only(segmenter.decode(embedding, [prompt])[0])
    first = first_answer(prompt)
    count = len(prompt.points)
    earlier: EarlierAnswer | None = None
    start = first
    for answered in range(count - 1, first - 1, -1):
        earlier = memo.get(_key(image, prompt, answered))
        if earlier is not None:
            start = answered + 1
            break
    for step in range(start, count + 1):
        points = Prompt(prompt.points[:step], prompt.labels[:step], prompt.box)
        answer = _only(segmenter.decode(embedding, [next_prompt(segmenter, points, earlier)])[0])
        by_model = segmenter.info.corrections == "model"
        earlier = EarlierAnswer(answer.logits[0], answer.window) if by_model else EarlierAnswer.of_mask(answer.crop(0))
        memo.put(_key(image, prompt, step), earlier)
    return answer


def _answer_stroke(segmenter: Segmenter, embedding: Embedding, prompt: Prompt, stroke: Cropped) -> Candidates:
    """Return what a stroke runs through or, where the stroke covers most of that, what it was painted over."""
    positive = prompt.labels == POSITIVE
    # A dab is a lone click: its few pixels say nothing about what is around it.
    through = replace(prompt, drawn=None) if np.count_nonzero(positive) == 1 else prompt
    answer = _only(segmenter.decode(embedding, [through])[0])
    mask = answer.crop(0)
    if mask.shared(stroke) < COVERED * mask.area:
        return answer
    box = np.array(stroke.box, np.float32)
    painted = replace(prompt, points=prompt.points[~positive], labels=prompt.labels[~positive], box=box)
    return _only(segmenter.decode(embedding, [painted])[0])


def first_answer(prompt: Prompt) -> int:
    """Return the number of points in the first answer of the chain."""
    if prompt.box is not None:
        return 0
    positive = (prompt.labels == POSITIVE).nonzero()[0]
    return int(positive[0]) + 1 if len(positive) else len(prompt.points)


def _key(image: str, prompt: Prompt, count: int) -> bytes:
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
