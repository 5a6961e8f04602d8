"""The steps that ship, by the names that a pipeline's file uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sam_backend.pipeline.changes import Segment, fill, merge, refine, relabel, select
from sam_backend.pipeline.classifier import Classify
from sam_backend.pipeline.detector import Detector
from sam_backend.pipeline.sources import Everything, memory, text

STEPS: Mapping[str, Callable[..., Any]] = {
    "memory": memory,
    "everything": Everything,
    "text": text,
    "detector": Detector,
    "segment": Segment,
    "fill": fill,
    "refine": refine,
    "filter": select,
    "relabel": relabel,
    "merge": merge,
    "classify": Classify,
}
