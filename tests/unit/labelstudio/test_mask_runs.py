import numpy as np
import pytest

from sam_backend.labelstudio.bitmask import encode_bitmask
from sam_backend.labelstudio.mask_runs import MaskRuns, box_iou
from sam_backend.labelstudio.rle import decode_runs, encode_rle
from sam_backend.masks import mask_box
from sam_backend.samples import Cropped


@pytest.fixture(params=[0.0, 0.1, 0.5, 0.9, 1.0])
def mask(request):
    return np.random.default_rng(0).random((23, 17)) < request.param


def test_runs_hold_exactly_the_mask(mask):
    for runs in (MaskRuns.of_mask(mask), decode_runs(encode_rle(mask), mask.shape)):
        assert np.array_equal(runs.mask(), mask)
        assert runs.area == mask.sum()
        assert runs.box == mask_box(mask)


def test_a_mask_in_a_box_has_the_runs_of_the_whole_mask(mask):
    whole = np.zeros((40, 30), bool)
    whole[9:32, 6:23] = mask
    cropped = Cropped(mask, (9, 6), whole.shape)
    for runs in (MaskRuns.of_mask(cropped), MaskRuns.of_mask(whole)):
        assert np.array_equal(runs.mask(), whole)
        assert np.array_equal(runs.cropped().mask, whole)
    assert encode_rle(cropped) == encode_rle(whole)
    assert encode_bitmask(cropped) == encode_bitmask(whole)


def test_a_point_is_inside_or_at_the_distance_that_the_mask_says(mask):
    runs = MaskRuns.of_mask(mask)
    rows, columns = np.nonzero(mask)
    for x, y in np.random.default_rng(1).uniform((0, 0), (17, 23), (60, 2)):
        assert runs.contains(x, y) == mask[int(y), int(x)]
        true = np.hypot(rows - int(y), columns - int(x)).min() if len(rows) else np.inf
        expected = pytest.approx(true) if true <= 2.5 else None
        assert runs.distance(x, y, 2.5) == expected


def test_masks_are_alike_by_their_iou():
    mask = np.zeros((10, 20), bool)
    mask[:, :10] = True
    more = mask.copy()
    more[0, 10] = True
    one, other = MaskRuns.of_mask(mask), MaskRuns.of_mask(more)
    assert one.is_like(other, 0.99)
    assert not one.is_like(other, 0.995)
    assert not one.is_like(MaskRuns.of_mask(mask.T), 0.0)


def test_the_iou_of_boxes():
    assert box_iou((0, 0, 10, 10), (0, 5, 10, 15)) == pytest.approx(1 / 3)
    assert box_iou((0, 0, 10, 10), (20, 20, 30, 30)) == 0
