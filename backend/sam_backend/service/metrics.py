"""The metrics that Prometheus reads: requests, stages of the work, the embedding cache, failed images."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from sam_backend.core.observer import Observer, RequestNotes, Stage
from sam_backend.labelstudio.region_changes import Outcome
from sam_backend.segmenters.cache import EmbeddingSource
from sam_backend.service.recent import RecentClicks
from sam_backend.service.traces import Traces

_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 100.0)

_IOUS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0)

MOST_PROJECTS = 500
"""Projects that have metrics of their own."""

TOTAL = "total"
"""The name of the whole time of a request beside those of its stages."""


class Metrics(Observer):
    """The metrics of one application, in a registry of its own.

    Parameters
    ----------
    traces : Traces, makes spans of the stages; None for none.

    Attributes
    ----------
    traces : as given.
    clicks : RecentClicks, the last ones.
    """

    def __init__(self, traces: Traces | None = None) -> None:
        self.traces = traces
        self.registry = CollectorRegistry()
        # Memory, CPU and open files of the process; only Linux has them.
        ProcessCollector(registry=self.registry)
        self.clicks = RecentClicks()
        self._requests = Histogram(
            "sam_inspect_request_seconds",
            "Time from a request's first byte to its answer's last; its count is the number of requests.",
            ["route", "status"],
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._stages = Histogram(
            "sam_inspect_stage_seconds",
            "Time of a stage without those inside it, and in total, of a click, a batch, or what nobody waits for.",
            ["stage", "work"],
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._hits = Counter("sam_inspect_embedding_cache_hits", "Embeddings found.", ["layer"], registry=self.registry)
        self._misses = Counter(
            "sam_inspect_embedding_cache_misses", "Embeddings not found.", ["layer"], registry=self.registry
        )
        # A share of hits needs both counters, also before the first of one.
        for counter in (self._hits, self._misses):
            for layer in (EmbeddingSource.MEMORY, EmbeddingSource.DISK):
                counter.labels(layer)
        self._projects: set[str] = set()
        self._lock = threading.Lock()
        self._proposals = Counter(
            "sam_inspect_proposals",
            "Regions of annotations that were begun with a prediction, by what became of them.",
            ["project", "outcome"],
            registry=self.registry,
        )
        self._proposal_iou = Histogram(
            "sam_inspect_proposal_iou",
            "IoU of accepted masks with the proposals that they were made of.",
            ["project"],
            registry=self.registry,
            buckets=_IOUS,
        )
        self._image_errors = Counter(
            "sam_inspect_image_errors",
            "Images that could not be fetched, by the status of the answer.",
            ["status"],
            registry=self.registry,
        )

    def answered(self, route: str, status: int, seconds: float, notes: RequestNotes) -> None:
        """Count a request that was answered."""
        self._requests.labels(route, status).observe(seconds)
        if notes.prompt:
            self._stages.labels(TOTAL, _work(notes)).observe(seconds)
        if status == 200 and notes.is_click and notes.image:
            self.clicks.add(seconds, notes.image)

    def span(self, stage: Stage) -> AbstractContextManager[object]:
        """Give a stage a span, where there are traces."""
        return self.traces.stage(stage) if self.traces else nullcontext()

    def stage_ended(self, stage: Stage, seconds: float, notes: RequestNotes | None) -> None:
        """Count a stage."""
        self._stages.labels(stage, _work(notes)).observe(seconds)

    def embedding_fetched(self, source: EmbeddingSource) -> None:
        """Count a hit or a miss of each layer of the cache that was read, memory before disk."""
        for layer in (EmbeddingSource.MEMORY, EmbeddingSource.DISK):
            if source is layer:
                self._hits.labels(layer).inc()
                return
            self._misses.labels(layer).inc()

    def compared(self, project: str, outcomes: Mapping[str, int], ious: Sequence[float]) -> None:
        """Count what became of proposals."""
        shown = self._shown_project(project)
        # Those of 0 too: a share of what is missing would be missing.
        for outcome in Outcome:
            self._proposals.labels(shown, outcome).inc(outcomes.get(outcome, 0))
        for iou in ious:
            self._proposal_iou.labels(shown).observe(iou)

    def _shown_project(self, project: str) -> str:
        """Return a project as a label; beyond some hundreds, all others are one."""
        with self._lock:
            if project in self._projects or len(self._projects) < MOST_PROJECTS:
                self._projects.add(project)
                return project
        return "other"

    def image_failed(self, status: int) -> None:
        """Count an image that could not be fetched."""
        self._image_errors.labels(status).inc()


def _work(notes: RequestNotes | None) -> str:
    return "background" if notes is None else "click" if notes.is_click else "batch"
