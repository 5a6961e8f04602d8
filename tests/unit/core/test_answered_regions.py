"""What was answered moments ago is bounded in memory, whatever the shape of the regions."""

import numpy as np
import pytest

from sam_backend.core.answered_regions import Answered, AnsweredRegions, Start
from sam_backend.core.clicks import Clicks
from sam_backend.labelstudio.mask_runs import MaskRuns
from sam_backend.labelstudio.page_regions import PageRegion

MASK = MaskRuns.of_mask(np.ones((4, 4), bool))
LARGE = {
    "brush": {"rle": [7] * 5_000},
    "bitmask": {"imageDataURL": "x" * 40_000},
    "polygon": {"points": [[1.0, 2.0]] * 300},
    "vector": {"vertices": [{"id": "0123456789", "x": 1.0, "y": 2.0}] * 250},
    "text": {"rle": [], "text": ["x" * 40_000]},
}


def answered(value, start=None):
    return Answered(PageRegion("a", ({"id": "a", "value": value},)), MASK, Clicks.none(), start, (), None, "")


def place(task):
    return "1", str(task), "image", 0, "key"


@pytest.mark.parametrize("shape", LARGE)
@pytest.mark.parametrize("is_start", [False, True], ids=["answer", "start"])
def test_images_clicked_longest_ago_are_dropped(shape, is_start):
    large = PageRegion("a", ({"id": "a", "value": LARGE[shape]},))
    answer = answered({}, Start(large, MASK, Clicks.none())) if is_start else answered(LARGE[shape])
    assert answer.nbytes > 40_000
    regions = AnsweredRegions(limit_bytes=3 * answer.nbytes)
    for task in range(5):
        regions.put(place(task), answer)
    assert [len(regions.of(place(task))) for task in range(5)] == [0, 0, 1, 1, 1]
