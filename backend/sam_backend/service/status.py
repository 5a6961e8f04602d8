"""What the service does at the moment, for people and for programs: the values of `/status`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sam_backend.core.backend import Backend
from sam_backend.core.memory_status import memory_status
from sam_backend.service.lanes import Lane
from sam_backend.service.recent import RecentClicks, RecentWarnings


def status_values(
    backend: Backend, clicks: RecentClicks, warnings: RecentWarnings, lanes: dict[str, Lane]
) -> dict[str, Any]:
    """Return the answer to `GET /status`, in plain values.

    Parameters
    ----------
    backend : Backend.
    clicks, warnings : what is remembered of the last ones.
    lanes : name -> Lane, the requests that are counted.
    """
    model, state, training = backend.model, backend.queue.state(), backend.trainings.latest()
    version = model.version
    projects = backend.project_status.projects(version, model.info)
    return {
        "model_version": version,
        "model": {
            "name": model.name,
            "device": model.device,
            "is_ready": model.is_ready,
            "weights": backend.promotions.serving if backend.promotions else "",
            "since": model.since.isoformat(timespec="seconds") if model.since else "",
        },
        "queue": {
            "running": [{"doing": doing, "seconds": round(seconds, 3)} for doing, seconds in state.running],
            "waiting": state.waiting,
            "prefetching": backend.prefetcher.remaining(),
            "requests": {name: lane.pending for name, lane in lanes.items()},
            "expected_wait_seconds": lanes["clicks"].expected_wait() if state.waiting else 0,
        },
        "cache": asdict(backend.cache.fill()),
        "clicks": asdict(clicks.summary()),
        "training": asdict(training) if training else None,
        "problems": [*backend.problems(), *backend.project_status.problems(projects)],
        "memory": memory_status(backend.memories, version),
        "projects": projects,
        "agreement": backend.project_status.agreement(),
        "decisions": backend.project_status.decisions(),
        "errors": [asdict(warned) for warned in warnings.newest()],
    }
