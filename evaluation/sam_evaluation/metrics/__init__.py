"""Metrics: pure functions on masks; nothing here knows models, files or tables."""

from sam_evaluation.metrics.boundary import boundary_f, boundary_fs, boundary_iou
from sam_evaluation.metrics.calibration import Reliability, expected_calibration_error, reliability
from sam_evaluation.metrics.detection import Floats, Matching, average_recall, match, pairwise_iou, region_overlap
from sam_evaluation.metrics.region import area_error, dice, iou
from sam_evaluation.metrics.surface import assd, hd95, hd95_assd
from sam_evaluation.metrics.thickness import length, width

__all__ = [
    "Floats",
    "Matching",
    "Reliability",
    "area_error",
    "assd",
    "average_recall",
    "boundary_f",
    "boundary_fs",
    "boundary_iou",
    "dice",
    "expected_calibration_error",
    "hd95",
    "hd95_assd",
    "iou",
    "length",
    "match",
    "pairwise_iou",
    "region_overlap",
    "reliability",
    "width",
]
