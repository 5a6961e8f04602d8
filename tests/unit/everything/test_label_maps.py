"""Label maps: the smaller of two masks counts, and an id above 255 needs 16 bits."""

import io

import numpy as np
import pytest
from PIL import Image

from sam_backend.errors import BadRequestError
from sam_backend.everything.label_maps import colours, label_map, png_of_map
from sam_backend.samples import Cropped


def square(side, size=(8, 8)):
    mask = np.zeros(size, bool)
    mask[:side, :side] = True
    return Cropped.of(mask)


def test_a_part_lies_on_its_whole_whatever_their_order():
    expected = np.zeros((8, 8), int)
    expected[:6, :6] = 7
    expected[:3, :3] = 9
    for order in ([0, 1], [1, 0]):
        masks, ids = [square(6), square(3)], [7, 9]
        found = label_map([masks[index] for index in order], [ids[index] for index in order], (8, 8))
        np.testing.assert_array_equal(found, expected)


def test_of_equally_large_masks_the_first_counts():
    assert label_map([square(3), square(3)], [1, 2], (8, 8))[0, 0] == 1


@pytest.mark.parametrize(("highest", "mode"), [(255, "P"), (256, "I;16")])
def test_ids_come_back_from_the_png(highest, mode):
    ids = np.arange(highest + 1, dtype=np.uint16).reshape(1, -1)
    image = Image.open(io.BytesIO(png_of_map(ids)))
    assert image.mode == mode
    np.testing.assert_array_equal(np.asarray(image), ids)


def test_more_ids_than_16_bits_hold_are_refused():
    with pytest.raises(BadRequestError, match="65,536 masks, and a PNG of 16 bits holds 65,535"):
        label_map([square(3)], [65_536], (8, 8))


def test_no_two_ids_have_one_colour():
    assert len(np.unique(colours(255), axis=0)) == 256
