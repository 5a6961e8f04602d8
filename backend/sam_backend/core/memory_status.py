"""What the memories lack, for `/status`: what was left out of them and why, and whether events are missing."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from sam_backend.memory.memories import Memories

logger = logging.getLogger(__name__)

_MAX_REASONS = 10


def memory_status(memories: Memories, version: str) -> dict[str, Any]:
    """Return for each project with gaps what is left out: `{"left_out": 3, "reasons": {…: 2, …: 1}, "incomplete": …}`.

    Parameters
    ----------
    memories : Memories of all projects.
    version : str, the version of the model, for example "nano-cca3e915".
    """
    status = {}
    for project in memories.projects():
        store = memories.look_at(project).store
        try:
            reasons = Counter(reason for _, _, reason in store.problems(version))
            reasons.update(store.gaps.reasons())
            incomplete = store.gaps.is_incomplete
        except OSError as error:
            reasons, incomplete = Counter({str(error): 1}), True
        if reasons or incomplete:
            status[project] = {
                "left_out": reasons.total(),
                "reasons": dict(reasons.most_common(_MAX_REASONS)),
                "incomplete": incomplete,
            }
    return status
