"""The automatic mode beside SamAutomaticMaskGenerator, on the same network with seeded random weights."""

import numpy as np
import pytest

pytest.importorskip("segment_anything")

import torch
from segment_anything import SamAutomaticMaskGenerator

from sam_backend.masks import mask_iou
from sam_backend.segmenters.automatic import AutomaticSettings, propose_masks
from sam_backend.segmenters.entries import OWN
from sam_backend.segmenters.sam import SamSegmenter
from small_sam import small_sam

SETTINGS = [
    {"points_per_side": 4, "points_per_batch": 5},
    {"points_per_side": 4, "box_nms_thresh": 0.5},
    {"points_per_side": 4, "min_mask_region_area": 60},
]


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS)
def test_the_masks_are_those_of_sams_generator(settings):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, image = small_sam(side=256), np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    segmenter = SamSegmenter(model, OWN["sam:vit_b"], version="small", device="cpu")
    # The network's predicted IoU is about 0, and stability is measured on other logits, so both thresholds keep all.
    ours = propose_masks(
        segmenter,
        segmenter.encode(image),
        AutomaticSettings(
            pred_iou_thresh=0, stability_score_thresh=0, mask_nms_thresh=1, max_area_fraction=1, **settings
        ),
    )
    generator = SamAutomaticMaskGenerator(
        model, pred_iou_thresh=-9.0, stability_score_thresh=0.0, **({"box_nms_thresh": 1.0} | settings)
    )
    theirs = generator.generate(image)
    assert len(ours) == len(theirs)
    ious = [max(mask_iou(one.mask, other["segmentation"]) for other in theirs) for one in ours]
    assert min(ious) > 0.99  # a batch of another size moves logits by 1e-6, and a pixel with them
