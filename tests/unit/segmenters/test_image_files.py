import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from peak_memory import assert_peak
from sam_backend.errors import BadRequestError
from sam_backend.segmenters.image_files import FileReader, decode_image

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


def test_few_defects_in_a_deep_dark_field_are_seen():
    values = np.zeros((50, 50), np.uint16)
    values[20, 20:23] = [1000, 2000, 4000]
    pixels = decoded(encoded(values))[..., 0]
    assert pixels[20, 19:24].tolist() == [0, 64, 128, 255, 0]


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


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I", "F", "I;16"])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_a_tiff_of_every_mode_is_decoded_and_turned(mode, orientation, compression):
    grey = GREY.astype(np.float32) if mode == "F" else GREY
    image = Image.fromarray(grey).convert("I" if mode == "I;16" else mode).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = decoded(encoded(image, "TIFF", compression=compression))
    turned = decoded(encoded(image, "TIFF", compression=compression, exif=exif))
    np.testing.assert_array_equal(turned, upright if orientation == 1 else np.rot90(upright, -1))
    if mode in ("L", "RGB", "RGBA"):
        np.testing.assert_array_equal(upright[..., 0], GREY)


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bit_values_of_either_byte_order_give_the_same_pixels(order):
    values = (np.arange(60).reshape(6, 10) * 700).astype("<u2")
    header = b"II*\0" if order == "<u2" else b"MM\0*"
    end = order[0]
    tags = {256: 10, 257: 6, 258: 16, 259: 1, 262: 1, 273: 8, 277: 1, 278: 6, 279: 120}
    content = values.astype(order).tobytes()
    entries = b"".join(struct.pack(f"{end}HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack(f"{end}H", len(tags)) + entries + bytes(4)
    file = header + struct.pack(f"{end}I", 8 + len(content)) + content + directory
    np.testing.assert_array_equal(decoded(file), decoded(encoded(values)))


def test_an_image_is_decoded_by_rows_as_it_is_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    files = [
        encoded(rng.integers(0, 256, (30, 40, 3), np.uint8)),
        encoded(rng.integers(0, 4000, (30, 40), np.uint16)),
        encoded(Image.fromarray(rng.normal(size=(30, 40)).astype(np.float32)), "TIFF"),
        cv2.imencode(".png", rng.integers(0, 4000, (30, 40, 3), np.uint16))[1].tobytes(),
    ]
    at_once = [decoded(file) for file in files]
    monkeypatch.setattr("sam_backend.segmenters.image_values._BLOCK_PIXELS", 200)
    for file, expected in zip(files, at_once, strict=True):
        np.testing.assert_array_equal(decoded(file), expected)


@pytest.mark.parametrize(
    ("make", "most"),
    [
        ("Image.new('RGB', (5000, 4000)).save(buffer, 'PNG')", 5),
        ("Image.new('RGB', (5000, 4000)).save(buffer, 'JPEG')", 5),
        ("Image.new('L', (5000, 4000)).save(buffer, 'PNG')", 5),
        ("Image.new('1', (5000, 4000)).save(buffer, 'PNG')", 5),
        ("Image.new('I;16', (5000, 4000)).save(buffer, 'PNG')", 6),
        ("Image.new('F', (5000, 4000)).save(buffer, 'TIFF')", 6),
        ("Image.new('I', (5000, 4000)).save(buffer, 'TIFF')", 6),
        ("Image.new('RGB', (5000, 4000)).save(buffer, 'PNG', exif=turned)", 7),
        ("buffer.write(cv2.imencode('.png', np.zeros((4000, 5000, 3), np.uint16))[1].tobytes())", 16),
    ],
)
def test_decoding_takes_few_bytes_a_pixel(make, most):
    before = f"""
        import io, cv2, numpy as np
        from PIL import Image
        from sam_backend.segmenters.image_files import decode_image
        turned = Image.Exif()
        turned[0x0112] = 6
        def encode():
            buffer = io.BytesIO()
            {make}
            return buffer.getvalue()
        file = encode()
        Path("/proc/self/clear_refs").write_text("5")
    """
    code = "decode_image(file, 'x', max_pixels=40_000_000)"
    assert_peak(before, code, below=most * 5000 * 4000)


@pytest.mark.parametrize(
    ("form", "options", "share"), [("WEBP", {}, 4), ("JPEG2000", {}, 5), ("JPEG", {"progressive": True}, 2)]
)
def test_formats_whose_decoders_take_more_memory_have_lower_limits(form, options, share):
    file = encoded(np.zeros((100, 100), np.uint8), form, **options)
    assert decoded(file, 10_000 * share).shape == (100, 100, 3)
    with pytest.raises(BadRequestError, match=f"at most {10_000 - 1:,} are taken of a .* {share} times the memory"):
        decoded(file, 10_000 * share - 1)


def test_tiles_larger_than_the_limit_are_refused():
    tags = {256: 10, 257: 10, 258: 8, 259: 5, 262: 1, 322: 60_000, 323: 60_000, 324: 8, 325: 4}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    file = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)
    with pytest.raises(BadRequestError, match=r"^x\.png has tiles of 3,600,000,000 pixels; at most 262,144 are taken"):
        decoded(file)


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"\xef\xbb\xbf<!DOCTYPE html>", "a web page"),
        (b"%PDF-1.7", "a PDF"),
        (b"", "an empty file"),
        (b"\0\0\0\x1cftypheic", "a HEIC"),
        (b"II*\0" + bytes(40), "a damaged TIFF"),
        (cv2.imencode(".tif", np.zeros((3, 3, 3), np.float32))[1].tobytes(), "colours as floats"),
    ],
)
def test_what_is_no_image_is_named(file, kind):
    with pytest.raises(BadRequestError, match=f"^x\\.png is not an image that can be read: it is .*{kind}|{kind}"):
        decoded(file)


def test_texts_that_unpack_to_more_than_the_file_are_refused_with_the_reason():
    chunk = b"iCCP" + b"x\0\0" + zlib.compress(bytes(50_000_000), 9)
    file = encoded(GREY)
    bomb = file[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + file[33:]
    with pytest.raises(BadRequestError, match="too large"):
        decoded(bomb)


def test_of_an_animation_the_first_frame_is_decoded():
    frames = [Image.fromarray(GREY), *[Image.fromarray(GREY[::-1])] * 3]
    for form in ("PNG", "GIF"):
        file = encoded(frames[0], form, save_all=True, append_images=frames[1:])
        np.testing.assert_array_equal(decoded(file)[..., 0], GREY)


def test_values_without_any_number_are_refused_with_the_reason():
    with pytest.raises(BadRequestError, match="none of its values is a finite number"):
        decoded(encoded(Image.fromarray(np.full((5, 5), np.nan, np.float32)), "TIFF"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_does_not_change_the_other_pixels(value):
    values = np.linspace(1000, 2000, 100, dtype=np.float32).reshape(10, 10)
    values[0, 0] = value
    pixels = decoded(encoded(Image.fromarray(values), "TIFF"))[..., 0]
    assert pixels[0, 0] == (255 if value == np.inf else 0)
    assert pixels[-1, -1] == 255
    assert 120 < pixels[4, 9] < 135


def test_16_bit_ppm_colours_are_windowed_too():
    red = np.arange(0, 4000, 50, dtype=np.uint16).reshape(8, 10)
    _, file = cv2.imencode(".ppm", np.stack([red // 4, red // 2, red], axis=2))
    assert len(np.unique(decoded(file.tobytes())[..., 0])) > 70


def reader(file, page=None):
    return FileReader(file, "x", max_pixels=10_000_000, page=page)


def stack(*pages, **options):
    frames = [page if isinstance(page, Image.Image) else Image.fromarray(page) for page in pages]
    return encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:], **options)


def test_a_stack_without_a_page_is_one_sentence_that_names_the_field():
    with pytest.raises(BadRequestError, match=r'^x is a stack of several pages; name one, .* field "image_page"\.$'):
        reader(stack(GREY, GREY))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_page_of_a_stack_is_read_whatever_its_depth(dtype):
    file = stack(*((GREY // 2 + 10 * number).astype(dtype) for number in range(4)))
    for page in (1, 3):
        expected = decoded(encoded((GREY // 2 + 10 * (page - 1)).astype(dtype)))
        np.testing.assert_array_equal(reader(file, page).part((0, 0, 10, 6)), expected)
    assert reader(file, 1).digest != reader(file, 3).digest


def test_a_page_of_deep_colours_is_read():
    pages = [np.random.default_rng(seed).integers(0, 4000, (6, 10, 3), np.uint16) for seed in range(3)]
    _, file = cv2.imencodemulti(".tif", pages)
    _, alone = cv2.imencode(".png", pages[2])
    np.testing.assert_array_equal(reader(file.tobytes(), 3).part((0, 0, 10, 6)), decoded(alone.tobytes()))


def test_a_page_that_is_not_there_is_one_sentence():
    with pytest.raises(BadRequestError, match=r"^x has no page 5;"):
        reader(stack(GREY, GREY), 5)
    with pytest.raises(BadRequestError, match=r"^x has no page 2;"):
        reader(encoded(GREY), 2)


def test_smaller_pages_of_a_tiff_need_no_page():
    np.testing.assert_array_equal(decoded(stack(GREY, GREY[::2, ::2]))[..., 0], GREY)


def test_a_larger_page_is_held_to_the_limit_too():
    with pytest.raises(BadRequestError, match="100 x 101 pixels; at most 10,000"):
        FileReader(stack(GREY, np.zeros((101, 100), np.uint8)), "x", max_pixels=10_000, page=2)


@pytest.mark.parametrize(
    ("image", "mapping"),
    [
        (Image.fromarray(GREY), ""),
        (Image.fromarray(GREY).convert("RGB"), ""),
        (Image.fromarray(GREY).convert("P"), "palette to RGB"),
        (Image.fromarray(GREY).convert("RGBA"), "transparency ignored"),
        (Image.fromarray(GREY).convert("CMYK"), "CMYK to RGB"),
        (Image.fromarray(np.arange(201, dtype=np.uint16)[None] * 10), "16-bit values, 10 to 1990 as 0 to 255"),
        (
            Image.fromarray(np.array([[np.nan, *np.linspace(-1, 1, 201)]], np.float32)),
            "float values, -0.99 to 0.99 as 0 to 255, no number as 0",
        ),
    ],
)
def test_the_mapping_says_how_values_became_8_bits(image, mapping):
    assert reader(encoded(image, "TIFF")).mapping == mapping


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_is_decoded_at_a_fraction_where_less_is_asked_for(orientation, monkeypatch):
    values = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (400, 640, 3), np.uint8), (0, 0), 9)
    exif = Image.Exif()
    exif[0x0112] = orientation
    read = reader(encoded(values, "JPEG", quality=95, exif=exif))
    assert read.size == ((400, 640) if orientation == 1 else (640, 400))
    small = read.shrunk(160)
    assert read._pixels is None
    upright = values if orientation == 1 else np.rot90(values, -1)
    expected = cv2.resize(upright, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert max(small.shape[:2]) == 160
    assert np.abs(small.astype(int) - expected).mean() < 2
    part = read.part((100, 50, 180, 90))
    assert np.abs(part.astype(int) - upright[50:90, 100:180]).mean() < 3


@pytest.mark.parametrize("kind", ["L", "RGB"])
def test_other_files_are_shrunk_by_means_and_small_ones_stay_as_they_are(kind):
    values = np.asarray(Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50), np.uint8)).convert(kind))
    read = reader(encoded(values))
    assert read.shrunk(60).shape == (30, 50, 3)
    small = read.shrunk(25)
    means = values.reshape(15, 2, 25, 2, -1).mean((1, 3))
    assert np.abs(small - means).max() <= 1


def test_a_digest_is_of_the_bytes_of_the_file():
    assert reader(encoded(GREY)).digest == reader(encoded(GREY)).digest
    assert reader(encoded(GREY)).digest != reader(encoded(GREY[::-1])).digest
