"""The workers that `--cluster` names."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sam_backend.cluster.work import Workers
    from sam_backend.settings import Settings


def opened_workers(cluster: str | None, models: Sequence[str], settings: Settings) -> AbstractContextManager[Workers]:
    """Return the workers of a cluster for models, by their names; without a cluster, this process.

    Raises
    ------
    SamInspectError
        If there is no such model, or no such cluster.
    """
    from sam_backend.cluster.connection import open_workers
    from sam_backend.segmenters.model_registry import model_info

    return open_workers(cluster, [model_info(name) for name in models], settings)
