import tracemalloc

import numpy as np
import pytest
from label_studio_sdk.converter import brush

from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.rle import decode_rle, encode_rle


def _masks() -> list:
    rng = np.random.default_rng(0)
    sizes = [(1, 1), (1, 9), (7, 1), (5, 3), (31, 17), (64, 64), (130, 129)]
    masks = [rng.random(size) < density for size in sizes for density in (0, 0.02, 0.5, 1)]
    rows, columns = np.mgrid[:301, :257]
    masks.append((rows - 150) ** 2 + (columns - 120) ** 2 < 90**2)
    masks.append((rows + columns) % 2 == 0)
    masks.append(np.ones((300, 257), bool))  # one run of more bytes than one chunk counts
    return masks


def _id(mask: np.ndarray) -> str:
    return f"{mask.shape[0]}x{mask.shape[1]}-{mask.mean():.2f}"


@pytest.mark.parametrize("mask", _masks(), ids=_id)
def test_the_sdk_decodes_what_we_encode_to_four_equal_bytes_a_pixel(mask):
    pixels = brush.decode_rle(encode_rle(mask)).reshape(*mask.shape, 4)

    np.testing.assert_array_equal(pixels, np.repeat(mask[..., None] * 255, 4, axis=2))


@pytest.mark.parametrize("mask", _masks(), ids=_id)
def test_we_decode_what_the_sdk_encodes(mask):
    rle = brush.mask2rle(mask.astype(np.uint8) * 255)

    np.testing.assert_array_equal(decode_rle(rle, mask.shape), mask)


@pytest.mark.parametrize("mask", _masks(), ids=_id)
def test_the_stream_is_no_longer_than_the_sdks(mask):
    assert len(encode_rle(mask)) <= len(brush.mask2rle(mask.astype(np.uint8) * 255))


def test_only_alpha_of_half_or_more_is_mask_and_literals_are_read():
    # As the page writes a stroke with soft edges: grey equal to alpha, neighbours all different.
    alpha = np.array([[0, 1, 127, 128], [200, 255, 254, 3]], np.uint8)
    rle = _literals(np.repeat(alpha.ravel(), 4).tolist())

    assert brush.decode_rle(rle).reshape(2, 4, 4)[..., 3].tolist() == alpha.tolist()
    assert decode_rle(rle, (2, 4)).tolist() == (alpha >= 128).tolist()


def _literals(values: list[int]) -> list[int]:
    """Pack all values as one chunk of literals, counted with 16 bits."""
    bits = f"{len(values):032b}" + f"{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    bits += "011" + f"{len(values) - 1:016b}" + "".join(f"{value:08b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]


def test_a_mask_of_another_image_is_refused_with_both_sizes():
    with pytest.raises(BadRequestError, match=r"holds 64 bytes.*8 x 4 pixels needs 128"):
        decode_rle(encode_rle(np.ones((4, 4), bool)), (4, 8))


def test_a_stream_that_breaks_off_is_refused():
    rle = encode_rle(np.random.default_rng(0).random((40, 40)) < 0.5)

    with pytest.raises(BadRequestError, match="breaks off"):
        decode_rle(rle[: len(rle) // 2], (40, 40))


@pytest.mark.parametrize("rle", [None, 10**12, [300], ["a"], [], [0, 0, 0]], ids=str)
def test_what_is_no_list_of_bytes_of_a_stream_is_refused(rle):
    with pytest.raises(BadRequestError):
        decode_rle(rle, (4, 4))


def test_a_short_stream_that_claims_many_pixels_takes_no_memory():
    rle = encode_rle(np.ones((40, 40), bool))
    claims = [*(14_000 * 14_000 * 4).to_bytes(4, "big"), *rle[4:]]
    tracemalloc.start()
    with pytest.raises(BadRequestError, match="breaks off"):
        decode_rle(claims, (14_000, 14_000))
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_literals_take_few_bytes_each():
    rle = _literals([7] * 60_000)
    tracemalloc.start()
    assert not decode_rle(rle, (100, 150)).any()
    assert tracemalloc.get_traced_memory()[1] < 60_000 * 64
    tracemalloc.stop()
