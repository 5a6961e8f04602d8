import base64
import io

import numpy as np
import pytest
from PIL import Image

from peak_memory import assert_peak
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


@pytest.mark.parametrize("mode", ["P", "L", "LA", "RGB", "RGBA", "1", "I;16"])
def test_a_png_of_any_mode_is_true_where_it_is_opaque(mode):
    rgba = np.zeros((23, 37, 4), np.uint8)
    rgba[..., 3] = MASK * 255
    image = Image.fromarray(rgba)
    if mode == "P":
        image = image.quantize(4)
    elif mode != "RGBA":
        image = image.convert("LA" if mode == "LA" else "L").convert(mode)
    file = io.BytesIO()
    image.save(file, "PNG")
    url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    expected = np.asarray(image.convert("RGBA"))[..., 3] >= 128
    np.testing.assert_array_equal(decode_bitmask(url, MASK.shape), expected)


@pytest.mark.parametrize(("mode", "most"), [("P", 4), ("RGBA", 7)])
def test_a_small_file_of_many_pixels_takes_few_bytes_a_pixel(mode, most):
    before = f"""
        import base64, io
        from PIL import Image
        from sam_backend.labelstudio.bitmask import decode_bitmask
        file = io.BytesIO()
        Image.new({mode!r}, (5000, 4000)).save(file, "PNG")
        url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
        Path("/proc/self/clear_refs").write_text("5")
    """
    assert_peak(before, "decode_bitmask(url, (4000, 5000))", below=most * 5000 * 4000)


def test_a_png_that_only_claims_pixels_takes_none():
    before = """
        import base64, struct, zlib
        from sam_backend.errors import BadRequestError
        from sam_backend.labelstudio.bitmask import decode_bitmask
        def chunk(kind, content):
            return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        header = chunk(b"IHDR", struct.pack(">II5B", 14_000, 14_000, 8, 6, 0, 0, 0))
        file = b"\\x89PNG\\r\\n\\x1a\\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
        url = "data:image/png;base64," + base64.b64encode(file).decode()
        def refused():
            try:
                decode_bitmask(url, (14_000, 14_000))
            except BadRequestError:
                return True
    """
    assert_peak(before, "assert refused()", below=20_000_000)
