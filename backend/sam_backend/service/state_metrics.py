"""The state of the service as metrics: the values of `/status`, read every few seconds; a scrape reads no disk."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from sam_backend.finetune.training_status import RUNNING
from sam_backend.service.metrics import MOST_PROJECTS

logger = logging.getLogger(__name__)

_EVERY = 10.0
"""Seconds between two readings."""

Samples = Iterable[tuple[tuple[str, ...], float]]


class StateMetrics(Collector):
    """Gauges of the state of the service.

    Parameters
    ----------
    registry : CollectorRegistry that the gauges are shown in.
    read : function, returns the values of `/status`, see `status_values`.
    """

    def __init__(self, registry: CollectorRegistry, read: Callable[[], dict[str, Any]]) -> None:
        self._read = read
        self._values: dict[str, Any] = {}
        self._stopping = threading.Event()
        registry.register(self)

    def start(self) -> None:
        """Begin to read, in a thread."""
        threading.Thread(target=self._run, name="state-metrics", daemon=True).start()

    def stop(self) -> None:
        """Stop the thread after its current reading."""
        self._stopping.set()

    def update(self) -> None:
        """Read the values now."""
        self._values = self._read()

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges; none before the first reading, or where the last one failed."""
        values = self._values
        if values:
            yield from _of_model(values)
            yield from _of_queue(values)
            yield from _of_cache(values["cache"])
            yield from _of_training(values)
            yield from _of_projects(values["projects"])

    def _run(self) -> None:
        failed = False
        while True:
            try:
                self.update()
                failed = False
            except Exception:
                # No gauges are better than those of before; the log has it once, however long it lasts.
                self._values = {}
                if not failed:
                    logger.exception("The state of the service cannot be read for its metrics")
                failed = True
            if self._stopping.wait(_EVERY):
                return


def _gauge(name: str, text: str, labels: Iterable[str], samples: Samples) -> Metric:
    family = GaugeMetricFamily(f"sam_inspect_{name}", text, labels=list(labels))
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _of_model(values: dict[str, Any]) -> Iterator[Metric]:
    model = values["model"]
    labels = ("name", "version", "weights", "device")
    about = tuple({**model, "version": values["model_version"]}[name] for name in labels)
    yield _gauge("model_info", "The model in service; the value is 1.", labels, [(about, 1)])
    yield _gauge("model_ready", "Whether the model is loaded.", (), [((), model["is_ready"])])
    since = datetime.fromisoformat(model["since"]).timestamp() if model["since"] else 0
    yield _gauge("model_since_seconds", "Unix time since when this model serves; 0 before.", (), [((), since)])
    yield _gauge("problems", "What is damaged and left out; /status tells it.", (), [((), len(values["problems"]))])


def _of_queue(values: dict[str, Any]) -> Iterator[Metric]:
    queue = values["queue"]
    yield _gauge("device_running", "Pieces of work on the device.", (), [((), len(queue["running"]))])
    yield _gauge("device_waiting", "Pieces of work that wait for the device.", (), [((), len(queue["waiting"]))])
    yield _gauge("prefetch_images", "Images that are still to be encoded ahead.", (), [((), queue["prefetching"])])
    pending = [((name,), number) for name, number in queue["requests"].items()]
    yield _gauge("requests_pending", "Requests that are worked on or wait for a thread.", ("work",), pending)


def _of_cache(cache: dict[str, int]) -> Iterator[Metric]:
    for what, text in (("bytes", "Bytes of embeddings."), ("limit", "Bytes that embeddings may take.")):
        name = "embedding_cache_bytes" if what == "bytes" else "embedding_cache_limit_bytes"
        layers = [((layer,), cache[f"{layer}_{what}"]) for layer in ("memory", "disk")]
        yield _gauge(name, text, ("layer",), layers)


def _of_training(values: dict[str, Any]) -> Iterator[Metric]:
    training = values["training"] or {}
    runs = training.get("state") == RUNNING
    steps = training.get("steps") or 0
    yield _gauge("training_running", "Whether a training runs.", (), [((), runs)])
    done = training["step"] / steps if runs and steps else 0
    yield _gauge("training_progress_ratio", "Share of the steps of the training that runs.", (), [((), done)])
    decided = Counter(
        (one["part"], one["project"], "passed" if one["passed"] else "refused") for one in values["decisions"]
    )
    text = "Decisions of the gates, the latest 200; the project is empty for the model that serves all."
    yield _gauge("gate_decisions", text, ("part", "project", "decision"), decided.items())


def _of_projects(projects: dict[str, Any]) -> Iterator[Metric]:
    known = [(project, about) for project, about in projects.items() if "accepted" in about][:MOST_PROJECTS]
    annotations = [((project,), about["accepted"]["annotations"]) for project, about in known]
    yield _gauge("accepted_annotations", "Accepted annotations in the memory.", ("project",), annotations)
    masks = [((project,), sum(about["masks"].values())) for project, about in known]
    yield _gauge("accepted_masks", "Accepted masks in the memory.", ("project",), masks)
    shares = [
        ((project,), share)
        for project, about in known
        if (share := about["agreement"]["all"]["unchanged_share"]) is not None
    ]
    text = "Share of all proposals that annotators left unchanged, since the memory began; it survives a restart."
    yield _gauge("proposals_unchanged_ratio", text, ("project",), shares)
