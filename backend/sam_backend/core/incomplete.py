"""The projects of which events could not be kept, so that Label Studio must be asked for their annotations."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cachetools import LRUCache

from sam_backend.memory.memories import Memories

_RETRY_SECONDS = 60.0
"""Seconds after which Label Studio is asked again that could not be asked."""

_PROJECTS = 1024


class IncompleteProjects:
    """The incomplete projects: in memory, and on disk where that is possible. Safe to share between threads.

    Parameters
    ----------
    memories : Memories, keep it on disk.
    clock : callable, returns the time in seconds.
    """

    def __init__(self, memories: Memories, clock: Callable[[], float] = time.monotonic) -> None:
        self._memories = memories
        self._clock = clock
        self._marks: LRUCache[str, int] = LRUCache(_PROJECTS)
        """Project -> how often it was marked, of those marked in this process."""
        self._retry: LRUCache[str, float] = LRUCache(_PROJECTS)
        self._lock = threading.Lock()

    def mark(self, project: str) -> None:
        """Keep that an event of a project is missing."""
        with self._lock:
            self._marks[project] = self._marks.get(project, 0) + 1
        self._memories.of(project).store.gaps.mark_incomplete()

    def is_due(self, project: str) -> bool:
        """Return whether Label Studio should be asked now."""
        with self._lock:
            marked, retry = project in self._marks, self._retry.get(project, 0.0)
        return (marked or self._memories.of(project).store.gaps.is_incomplete) and self._clock() >= retry

    def start(self, project: str) -> int | None:
        """Start an attempt, if it is due; return what `finish` needs, or None."""
        if not self.is_due(project):
            return None
        with self._lock:
            self._retry[project] = self._clock() + _RETRY_SECONDS
            return self._marks.get(project, 0)

    def finish(self, project: str, attempt: int) -> None:
        """Keep that the project is complete, unless it was marked again since the attempt started."""
        with self._lock:
            if self._marks.get(project, 0) != attempt:
                self._retry.pop(project, None)
                return
            self._marks.pop(project, None)
            self._retry.pop(project, None)
        self._memories.of(project).store.gaps.mark_complete()
