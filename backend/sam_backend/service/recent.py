"""The last clicks and the last warnings, which `/status` shows."""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime

from sam_backend.core.logs import SafeFormatter
from sam_backend.segmenters.cache import EmbeddingSource

_CLICKS = 1000
_WARNINGS = 20


@dataclass(frozen=True)
class ClickSummary:
    """The last clicks that were answered, at most 1,000.

    Attributes
    ----------
    count : int.
    p50_ms, p95_ms : float or None, half of the answers, and 95 of 100, took at most so many milliseconds.
    hit_rate : float or None, the share in [0, 1] of the clicks whose image was encoded before.
    images : source of the embedding -> clicks.
    """

    count: int
    p50_ms: float | None
    p95_ms: float | None
    hit_rate: float | None
    images: dict[str, int]


class RecentClicks:
    """Remembers how long clicks took and where their embeddings came from. Safe to share between threads."""

    def __init__(self) -> None:
        self._clicks: deque[tuple[float, str]] = deque(maxlen=_CLICKS)
        self._lock = threading.Lock()

    def add(self, seconds: float, source: str) -> None:
        """Remember a click that was answered; `source` is a value of `EmbeddingSource`."""
        with self._lock:
            self._clicks.append((seconds, source))

    def summary(self) -> ClickSummary:
        """Return what the last clicks were like."""
        with self._lock:
            clicks = list(self._clicks)
        images = Counter(source for _, source in clicks)
        if not clicks:
            return ClickSummary(0, None, None, None, {})
        times = sorted(seconds for seconds, _ in clicks)
        p50, p95 = (round(1000 * times[math.ceil(share * len(times)) - 1], 1) for share in (0.5, 0.95))
        hits = 1 - images[EmbeddingSource.ENCODER] / len(clicks)
        return ClickSummary(len(clicks), p50, p95, round(hits, 4), dict(images))


@dataclass(frozen=True)
class Warned:
    """A warning or an error of the log: when (ISO 8601, UTC), and its text in one line."""

    time: str
    text: str


class RecentWarnings(logging.Handler):
    """Keeps the last warnings and errors, without secrets and tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(SafeFormatter("%(message)s"))
        self._kept: deque[Warned] = deque(maxlen=_WARNINGS)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="seconds")
        self._kept.append(Warned(time, self.format(record).partition("\n")[0]))

    def newest(self) -> list[Warned]:
        """Return the kept ones, the newest first."""
        with self.lock or threading.Lock():
            return list(self._kept)[::-1]
