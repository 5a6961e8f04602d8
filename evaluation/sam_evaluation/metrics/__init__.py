"""Metrics: pure functions on masks."""

from sam_evaluation.metrics.region import iou

__all__ = ["iou"]
