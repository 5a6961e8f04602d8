import base64
import io

import numpy as np
import pytest
from PIL import Image

from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.bitmask import decode_bitmask, encode_bitmask

MASK = np.random.default_rng(0).random((23, 37)) < 0.3


def test_a_bitmask_is_a_png_of_the_images_size_opaque_black_where_the_mask_is_and_transparent_elsewhere():
    prefix, data = encode_bitmask(MASK).split(",")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))

    assert prefix == "data:image/png;base64"
    assert pixels.shape == (23, 37, 4)
    assert not pixels[..., :3].any()
    assert (pixels[..., 3] == np.where(MASK, 255, 0)).all()


@pytest.mark.parametrize("mask", [MASK, np.ones((3, 9), bool), np.zeros((9, 3), bool)], ids=["noise", "full", "empty"])
def test_decoding_gives_the_mask_back(mask):
    np.testing.assert_array_equal(decode_bitmask(encode_bitmask(mask), mask.shape), mask)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "starts with 'data:image/png;base64,'; got 'nonsense'"),
        ("data:image/png;base64,AAAA", "not a readable PNG"),
        ("data:image/png;base64,%%", "not a readable PNG"),
        (encode_bitmask(MASK)[:-60], "not a readable PNG"),
        (encode_bitmask(MASK[:, :30]), "has 30 x 23 pixels, but the image 37 x 23"),
    ],
    ids=["no data URL", "no PNG", "no base64", "cut short", "other size"],
)
def test_a_damaged_bitmask_is_refused(url, says):
    with pytest.raises(BadRequestError, match=says):
        decode_bitmask(url, MASK.shape)
