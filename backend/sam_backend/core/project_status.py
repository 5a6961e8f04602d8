"""What each project has learnt, what the gates decided, and how proposals fared: for `/status` and the metrics."""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sam_backend.core.proposers import proposer_of
from sam_backend.core.refiners import refiner_of
from sam_backend.errors import SamInspectError
from sam_backend.finetune.gate_decisions import decisions_problem, gate_decisions
from sam_backend.finetune.training_status import TRAININGS
from sam_backend.finetune.versions import SHIPPED, Versions
from sam_backend.labelstudio.accepted import EXPORT
from sam_backend.memory.agreement import Agreement, Compared, agreement, agreement_over_time
from sam_backend.memory.example_store import ExampleStore
from sam_backend.memory.features import BACKGROUND
from sam_backend.memory.left_out_examples import read_calibration, read_click_weight
from sam_backend.memory.memories import Memories
from sam_backend.memory.proposals import MIN_SCORE
from sam_backend.segmenters.model_info import ModelInfo

logger = logging.getLogger(__name__)

_MOST_DECISIONS = 200


class ProjectStatus:
    """The status of all projects, in plain values. Safe to share between threads.

    Parameters
    ----------
    memories : Memories of all projects.
    versions : Versions of all models.
    """

    def __init__(self, memories: Memories, versions: Versions) -> None:
        self._memories = memories
        self._versions = versions
        self._learnt: dict[str, tuple[object, dict[str, Any]]] = {}
        """Project -> the state of its memory, and what was read of it then."""
        self._together: tuple[object, dict[str, Any]] = (None, {})
        self._lock = threading.Lock()

    def projects(self, version: str, info: ModelInfo | None) -> dict[str, dict[str, Any]]:
        """Return project -> what it has learnt; `problem` alone where its memory cannot be read.

        Parameters
        ----------
        version : str, the version of the model that serves.
        info : ModelInfo of that model; None while it is not loaded.
        """
        known = {}
        for project in self._memories.projects():
            try:
                known[project] = self._project(project, version, info)
            except OSError as error:
                known[project] = {"problem": str(error)}
        return known

    def agreement(self) -> dict[str, Any]:
        """Return how the proposals of all projects fared together."""
        files = [self._memories.look_at(project).store.agreement for project in self._memories.projects()]
        state = [file.state() for file in files]
        with self._lock:
            before, told = self._together
        if before != state:
            told = _agreement(one for file in files for one in file.all().values())
            with self._lock:
                self._together = (state if all(file.is_read for file in files) else None, told)
        return told

    def decisions(self) -> list[dict[str, Any]]:
        """Return the decisions of the gates, the latest first, each with its part, its project, and what serves."""
        parts: dict[str, tuple[str, str]] = {}
        for project in self._memories.projects():
            memory = self._memories.look_at(project)
            parts |= {proposer_of(memory): ("proposer", project), refiner_of(memory): ("refiner", project)}
        told = []
        for decision in gate_decisions(self._versions)[:_MOST_DECISIONS]:
            # The model serves all projects, and learns from one.
            part, project = parts.get(decision.model, ("model", _source(decision.data)))
            serves = bool(decision.version) and self._serving(decision.model) == decision.version
            told.append({**asdict(decision), "part": part, "project": project, "serves": serves})
        return told

    def problems(self, projects: dict[str, dict[str, Any]]) -> list[str]:
        """Return what is damaged and left out of `projects` and of the decisions, one sentence each."""
        unread = [f"Project {project}: {about['problem']}" for project, about in projects.items() if "problem" in about]
        damaged = [about["agreement"]["problem"] for about in projects.values() if "agreement" in about]
        return list(filter(None, [self._memories.problem(), *unread, *damaged, decisions_problem(self._versions)]))

    def _project(self, project: str, version: str, info: ModelInfo | None) -> dict[str, Any]:
        memory = self._memories.look_at(project)
        proposer, refiner = (self._serving(part) for part in (proposer_of(memory), refiner_of(memory)))
        learnt = self._learnt_of(project, memory.store, version)
        return {
            "title": self._memories.title(project),
            **learnt,
            "memory": _memory(learnt, info),
            "proposer": "" if proposer == SHIPPED else proposer,
            "refiner": "" if refiner == SHIPPED else refiner,
            "thresholds": {
                "proposal_score": round(MIN_SCORE, 4),
                "fitted_to_outlines": read_calibration(memory.store.folder, version).outlines,
                "click_weight": read_click_weight(memory.store.folder, version),
            },
        }

    def _learnt_of(self, project: str, store: ExampleStore, version: str) -> dict[str, Any]:
        state = (version, store.state(), store.agreement.state())
        with self._lock:
            before, learnt = self._learnt.get(project, (None, {}))
        if before == state:
            return learnt
        images = Counter(label for _, labels, _ in store.newest(version) for label in labels if label != BACKGROUND)
        learnt = {
            "accepted": asdict(store.accepted()),
            "masks": dict(store.masks_by_label().most_common()),
            "examples": dict(images.most_common()),
            "agreement": _agreement(store.agreement.all().values()) | {"problem": store.agreement.problem},
        }
        with self._lock:
            self._learnt[project] = (state if store.agreement.is_read else None, learnt)
        return learnt

    def _serving(self, model: str) -> str:
        try:
            return self._versions.current(model)
        except SamInspectError:
            # `/status` names the damage among its problems.
            return SHIPPED


def _source(data: str) -> str:
    """Return the project whose accepted masks a training learnt from; "" for a data set."""
    found = re.search(rf"/{TRAININGS}/project-([^/]+)/{re.escape(EXPORT)}", data)
    return found[1] if found else ""


def _memory(learnt: dict[str, Any], info: ModelInfo | None) -> dict[str, Any]:
    if info is not None and not info.has_features:
        return {"on": False, "why": f"{info.name} has no features to remember examples by."}
    return {"on": True, "why": "" if learnt["examples"] else "It has no examples yet."}


def _agreement(compared: Iterable[Compared]) -> dict[str, Any]:
    several = list(compared)
    return {
        "all": _values(agreement(several)),
        "over_time": [_values(one) for one in agreement_over_time(several)],
        "failed": sum(bool(one.problem) for one in several),
    }


def _values(one: Agreement) -> dict[str, Any]:
    share = None if one.unchanged is None else round(one.unchanged, 4)
    return {**asdict(one), "proposals": one.proposals, "unchanged_share": share}
