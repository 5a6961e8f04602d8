"""A segmenter for batches, which stops when the time is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from sam_backend.segmenters import Candidates, Embedding, Prompt, Segmenter
from sam_backend.segmenters.batched import in_calls
from sam_backend.segmenters.concepts import LEAST_SCORE, Concept, Instances, find_instances
from sam_backend.segmenters.wrapper import SegmenterWrapper


class DeadlineSegmenter(SegmenterWrapper):
    """A segmenter whose `decode` and `find` raise TimeoutError after a deadline or when the process ends.

    `encode` never raises it, because a click may wait for the same image.

    Parameters
    ----------
    segmenter : Segmenter, does the work.
    deadline : float, seconds on the monotonic clock.
    stopping : Event, set when the process ends.
    """

    def __init__(self, segmenter: Segmenter, deadline: float, stopping: threading.Event) -> None:
        super().__init__(segmenter)
        self._deadline = deadline
        self._stopping = stopping

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        """Decode prompts, as the segmenter does, a few at a time."""
        candidates: list[Candidates] = []
        for some in in_calls(prompts):
            self.check()
            candidates += self._segmenter.decode(embedding, some, multimask=multimask)
        return candidates

    def find(self, embedding: Embedding, concept: Concept, *, least_score: float = LEAST_SCORE) -> Instances:
        """Find instances, as the segmenter does."""
        self.check()
        return find_instances(self._segmenter, embedding, concept, least_score=least_score)

    def check(self) -> None:
        """Raise TimeoutError if the time is over."""
        if time.monotonic() > self._deadline or self._stopping.is_set():
            raise TimeoutError
