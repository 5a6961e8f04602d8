"""Metrics: pure functions on masks. No code here may know models, files or tables."""

from sam_evaluation.metrics.boundary import boundary_f, boundary_fs_of, boundary_iou, boundary_iou_of
from sam_evaluation.metrics.calibration_error import (
    Reliability,
    calibration_error_by_chance,
    expected_calibration_error,
    reliability,
)
from sam_evaluation.metrics.detection import Floats, Matching, average_recall, match, pairwise_iou, region_overlap
from sam_evaluation.metrics.mask_pair import Pair
from sam_evaluation.metrics.region import area_error, area_error_of, dice, dice_of, iou, iou_of
from sam_evaluation.metrics.surface import assd, hd95, hd95_assd_of
from sam_evaluation.metrics.thickness import length, width

__all__ = [
    "Floats",
    "Matching",
    "Pair",
    "Reliability",
    "area_error",
    "area_error_of",
    "assd",
    "average_recall",
    "boundary_f",
    "boundary_fs_of",
    "boundary_iou",
    "boundary_iou_of",
    "calibration_error_by_chance",
    "dice",
    "dice_of",
    "expected_calibration_error",
    "hd95",
    "hd95_assd_of",
    "iou",
    "iou_of",
    "length",
    "match",
    "pairwise_iou",
    "region_overlap",
    "reliability",
    "width",
]
