"""The correction of a mask that is there by the clicks of one suggestion."""

from __future__ import annotations

import hashlib

from sam_backend.core.answered import Start
from sam_backend.core.clicks import Clicks
from sam_backend.segmenters import Candidates, Embedding, Prompt, Segmenter
from sam_backend.segmenters.answers_memo import AnswersMemo, EarlierAnswer


def correct(
    segmenter: Segmenter, embedding: Embedding, start: Start, drawn: Clicks, memo: AnswersMemo, image: str
) -> Candidates:
    """Correct a mask by one click after the other; each gets the mask that the click before it made.

    Parameters
    ----------
    segmenter : Segmenter that takes masks.
    embedding : Embedding of the image.
    start : Start, the mask as it was, and the earlier clicks on it.
    drawn : Clicks of the open suggestion, at least one.
    memo : AnswersMemo, earlier answers; a missing one is computed again.
    image : str, unique for the image and the version of the segmenter.

    Returns
    -------
    Candidates
        One candidate.
    """
    mask, done = start.mask.mask(), 0
    for count in range(len(drawn) - 1, 0, -1):
        if earlier := memo.get(_key(image, start, drawn.first(count))):
            mask, done = earlier.mask, count
            break
    for count in range(done + 1, len(drawn) + 1):
        clicks = (start.clicks + drawn.first(count)).last_word()
        answer = segmenter.decode(embedding, [Prompt(clicks.points, clicks.labels, mask=mask)])[0]
        mask = answer.masks[0]
        memo.put(_key(image, start, drawn.first(count)), EarlierAnswer.of_mask(answer.crop(0)))
    return answer


def _key(image: str, start: Start, drawn: Clicks) -> bytes:
    parts = (start.mask.starts, start.mask.stops, start.clicks.points, start.clicks.labels, drawn.points, drawn.labels)
    digest = hashlib.sha256(b"correction " + image.encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part.tobytes())
    return digest.digest()
