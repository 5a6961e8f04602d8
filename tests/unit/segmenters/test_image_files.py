import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from sam_backend.errors import BadRequestError
from sam_backend.segmenters.image_files import decode_image

GREY = np.arange(60, dtype=np.uint8).reshape(6, 10) * 4


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, form, **options)
    return buffer.getvalue()


def decoded(file, max_pixels=10_000):
    return decode_image(file, "x.png", max_pixels=max_pixels)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_every_8_bit_kind_becomes_rgb(mode):
    image = Image.fromarray(GREY).convert(mode)
    expected = np.asarray(image.convert("L"))
    pixels = decoded(encoded(image))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (6, 10, 3)
    np.testing.assert_array_equal(pixels, np.repeat(expected[..., None], 3, axis=2))


def test_colours_keep_their_order():
    rgb = np.zeros((2, 2, 3), np.uint8) + np.array([200, 100, 50], np.uint8)
    np.testing.assert_array_equal(decoded(encoded(rgb)), rgb)


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, GREY), (2, GREY[:, ::-1]), (3, GREY[::-1, ::-1]), (4, GREY[::-1]),
        (5, GREY.T), (6, np.rot90(GREY, -1)), (7, GREY[::-1, ::-1].T), (8, np.rot90(GREY)),
    ],
)  # fmt: skip
def test_the_image_is_turned_as_its_exif_says(orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decoded(encoded(GREY, exif=exif))[..., 0], turned)


def test_16_bit_grey_is_windowed_by_percentiles():
    values = np.linspace(1000, 2000, 1001).astype(np.uint16).reshape(7, 143)
    low, high = np.percentile(values, (0.5, 99.5))
    pixels = decoded(encoded(values))
    np.testing.assert_array_equal(pixels[..., 0], np.clip(np.rint((values - low) * 255 / (high - low)), 0, 255))
    assert pixels.shape == (7, 143, 3)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_colours_are_windowed_too_and_not_cut_to_their_upper_byte(suffix):
    # 12 bits in 16: the upper bytes alone would leave 16 levels.
    red = np.arange(0, 4000, 50, dtype=np.uint16).reshape(8, 10)
    bgr = np.stack([red // 4, red // 2, red], axis=2)
    _, file = cv2.imencode(suffix, bgr)
    pixels = decoded(file.tobytes())
    assert len(np.unique(pixels[..., 0])) > 70
    assert pixels[..., 0].max() == 255
    assert pixels[..., 2].max() < 100


def test_float_images_are_windowed_and_what_is_no_number_is_dark():
    values = np.linspace(-1, 1, 100, dtype=np.float32).reshape(10, 10)
    values[0, 0] = np.nan
    pixels = decoded(encoded(Image.fromarray(values), "TIFF"))
    assert pixels[-1, -1, 0] == 255
    assert pixels[0, 1, 0] < 5


def test_a_deep_image_of_one_value_is_no_division_by_zero():
    assert len(np.unique(decoded(encoded(np.full((5, 5), 3000, np.uint16))))) == 1


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "BMP"])
def test_a_truncated_file_is_reported(form):
    file = encoded(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8), form)
    with pytest.raises(BadRequestError, match=r"^x\.png is (truncated|not an image)"):
        decoded(file[: len(file) * 2 // 3])


@pytest.mark.parametrize("file", [b"", b"<html>", b"%PDF-1.7", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_image_is_reported(file):
    with pytest.raises(BadRequestError, match=r"^x\.png is not an image"):
        decoded(file)


def test_a_truncated_16_bit_colour_image_is_reported():
    _, file = cv2.imencode(".png", np.random.default_rng(0).integers(0, 65535, (40, 40, 3), np.uint16))
    with pytest.raises(BadRequestError, match=r"^x\.png is truncated"):
        decoded(file.tobytes()[:60])


def test_too_large_an_image_is_refused_before_it_is_decoded():
    header_only = encoded(np.zeros((101, 100), np.uint8))[:60]
    with pytest.raises(BadRequestError, match="100 x 101 pixels; at most 10,000"):
        decoded(header_only)


def test_the_limit_is_the_settings_and_not_the_librarys_own():
    header = struct.pack(">II5B", 14_000, 14_000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    file = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    file += struct.pack(">I", 10) + b"IDAT"
    with pytest.raises(BadRequestError, match="at most 100,000,000"):
        decoded(file, 100_000_000)
    with pytest.raises(BadRequestError, match="truncated"):
        decoded(file, 200_000_000)
