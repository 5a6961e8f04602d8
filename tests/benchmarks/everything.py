"""Automatic masks against SamAutomaticMaskGenerator: `python tests/benchmarks/everything.py [--points 16]`.

Both run the same network on one thread: a small SAM of the official classes with seeded random weights, since the
official checkpoints are gigabytes. With random weights every candidate is kept, so the thresholds are 0 on both sides:
much work for all that comes after the network. CPU seconds, the encoder left out.
"""

import argparse
import sys
import time
from pathlib import Path

# ruff: noqa: E402 - the path comes first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator

from sam_backend.segmenters.automatic import AutomaticSettings, propose_masks
from sam_backend.segmenters.model_registry import model_info
from sam_backend.segmenters.sam import SamSegmenter
from small_sam import small_sam

SIZE = 600, 800


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=16, help="clicks along each side of the grid (default: 16)")
    options = parser.parse_args()
    ours, theirs = measure(options.points)
    print(
        f"{options.points} x {options.points} clicks: ours {ours:.2f} s, theirs {theirs:.2f} s: {theirs / ours:.1f} x"
    )


def measure(points):
    """Return the CPU seconds of our automatic masks and of SamAutomaticMaskGenerator's."""
    torch.set_num_threads(1)
    model, image = small_sam(), np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    segmenter = SamSegmenter(model, model_info("sam:vit_b"), version="small", device="cpu")
    generator = SamAutomaticMaskGenerator(
        model, points_per_side=points, pred_iou_thresh=-9.0, stability_score_thresh=0.0, min_mask_region_area=0
    )
    embedding = segmenter.encode(image)
    started = time.process_time()
    propose_masks(segmenter, embedding, AutomaticSettings(points, pred_iou_thresh=0.0, stability_score_thresh=0.0))
    ours = time.process_time() - started
    started = time.process_time()
    generator.predictor.set_image(image)
    encoder = time.process_time() - started
    started = time.process_time()
    generator.generate(image)
    return ours, time.process_time() - started - encoder


if __name__ == "__main__":
    main()
