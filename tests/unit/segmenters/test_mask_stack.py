import cv2
import numpy as np
import pytest

from sam_backend.samples import Cropped
from sam_backend.segmenters.enlarging import enlarged_mask
from sam_backend.segmenters.mask_stack import MaskStack


@pytest.fixture
def masks():
    masks = np.zeros((3, 6, 8), bool)
    masks[0, 1:3, 2:5] = masks[2, 4, 4] = True
    return masks


def test_a_stack_is_its_masks(masks):
    stack = MaskStack.of(masks)
    assert (len(stack), stack.shape, stack.dtype) == (3, masks.shape, masks.dtype)
    np.testing.assert_array_equal(np.asarray(stack), masks)
    for index in (0, 1, -1):
        np.testing.assert_array_equal(stack[index], masks[index])
    np.testing.assert_array_equal(np.asarray(stack[1:]), masks[1:])
    with pytest.raises(IndexError):
        stack[3]


def test_a_mask_is_drawn_once_and_only_if_it_is_asked_for():
    drawn = []

    def draw(index):
        drawn.append(index)
        return Cropped(np.ones((1, 1), bool), (0, index), (1, 3))

    stack = MaskStack(3, (1, 3), draw)
    assert stack[2:][0].tolist() == stack[2].tolist() == [[False, False, True]]
    assert drawn == [2]


def test_masks_are_placed_in_a_larger_image(masks):
    placed = MaskStack.of(masks).placed((10, 20), (30, 40))
    whole = np.zeros((3, 30, 40), bool)
    whole[:, 10:16, 20:28] = masks
    np.testing.assert_array_equal(np.asarray(placed), whole)


@pytest.mark.parametrize("size", [(512, 512), (300, 400), (37, 64), (1500, 2000), (2000, 640)])
def test_a_mask_is_enlarged_as_the_whole_map_would_be(size):
    rows, columns = (max(1, int(side * 512 / max(size) + 0.5)) for side in size)
    logits = cv2.GaussianBlur(np.random.default_rng(1).normal(size=(512, 512)).astype(np.float32), (0, 0), 20) - 0.005
    part = np.full_like(logits, -1)
    top, left = rows // 4, columns // 3
    part[top : top + 200, left : left + 150] = logits[top : top + 200, left : left + 150]
    part[top, :] = part[:, left] = part[top + 199 : top + 200] = part[:, left + 149 : left + 150] = -1
    whole = cv2.resize(part[:rows, :columns], size[::-1], interpolation=cv2.INTER_LINEAR) > 0
    given = part[top:rows, left:columns][:200, :150]
    mask = enlarged_mask(given, (top, left), (rows, columns), size, np.zeros((0, 2), np.float32))
    assert whole.any()
    # A value of zero to float precision may fall on either side.
    assert np.count_nonzero(mask.mask != whole) <= 1e-5 * whole.size


def test_only_clicked_pieces_stay():
    logits = np.full((8, 8), -1, np.float32)
    logits[1:3, 1:3] = logits[5:7, 5:7] = 1
    for point, kept in (((3.0, 3.0), 0), ((11.0, 11.0), 1), ((99.0, -5.0), None)):
        mask = enlarged_mask(logits, (0, 0), (8, 8), (16, 16), np.array([point], np.float32)).mask
        assert mask[3, 3] == (kept != 1)
        assert mask[11, 11] == (kept != 0)
