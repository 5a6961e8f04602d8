"""Mask files of every kind: read exactly, or refused with the reason."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mask_files import FIRST, SECOND, painted
from peak_memory import assert_peak
from sam_evaluation.datasets import pixel_values
from sam_evaluation.datasets.label_files import read_labels
from sam_evaluation.datasets.pixel_values import colours_of, distinct_values, rim_values, value_name, value_of_name
from sam_evaluation.errors import BrokenSampleError

RED, GREEN = 0x1FF0000, 0x1008200


def written(folder: Path, image: Image.Image | np.ndarray, suffix: str = "png", **options: object) -> Path:
    path = folder / f"a.{suffix}"
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


def reread(folder: Path, image: Image.Image | np.ndarray, suffix: str = "png", **options: object) -> np.ndarray:
    return read_labels(written(folder, image, suffix, **options))


@pytest.mark.parametrize(
    ("dtype", "value", "suffix"),
    [
        (bool, 1, "png"), (bool, 1, "tif"), (bool, 1, "bmp"),
        (np.uint8, 1, "png"), (np.uint8, 255, "png"), (np.uint8, 200, "bmp"), (np.uint8, 9, "pgm"),
        (np.uint16, 300, "png"), (np.uint16, 65535, "png"), (np.uint16, 300, "tif"),
        (np.int32, 70_000, "tif"), (np.float32, 1, "tif"), (np.float32, 300, "tif"),
    ],
)  # fmt: skip
def test_values_are_those_of_the_file(tmp_path: Path, dtype: type, value: int, suffix: str) -> None:
    expected = painted(1).astype(np.int64) * value
    labels = reread(tmp_path, expected.astype(dtype), suffix)
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("code", "bits", "form", "value"),
    [("u2", 16, 1, 40_000), ("i2", 16, 2, 300), ("u4", 32, 1, 3_000_000_000), ("i4", 32, 2, 70_000), ("f4", 32, 3, 7)],
)
def test_tiffs_of_either_byte_order_are_read_exactly(
    tmp_path: Path, order: str, code: str, bits: int, form: int, value: int
) -> None:
    expected = painted(1).astype(np.int64) * value
    content = expected.astype(order + code).tobytes()
    height, width = expected.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(content)}
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, number) for tag, number in (tags | {339: form}).items())
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(content))
    path = tmp_path / "a.tif"
    path.write_bytes(start + content + struct.pack(f"{order}H", len(tags) + 1) + entries + bytes(4))
    if (order, code) == (">", "u4"):
        with pytest.raises(BrokenSampleError, match="its pixels are of a kind that is not read"):
            read_labels(path)
        return
    np.testing.assert_array_equal(read_labels(path), expected)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_levels_of_few_bits_are_not_stretched(tmp_path: Path, bits: int) -> None:
    labels = painted(1, (1 << bits) - 1)
    path = tmp_path / "a.png"
    path.write_bytes(_grey_png(labels, bits))
    np.testing.assert_array_equal(read_labels(path), labels)


def _grey_png(labels: np.ndarray, bits: int) -> bytes:
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    places = np.arange(bits)[::-1]
    rows = np.packbits((labels[..., None] >> places & 1).reshape(len(labels), -1).astype(np.uint8), axis=1)
    header = struct.pack(">II5B", labels.shape[1], labels.shape[0], bits, 0, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("maximum", [15, 100, 1000, 65535])
def test_a_pgm_of_any_maximum_is_not_stretched(tmp_path: Path, maximum: int) -> None:
    labels = painted(3, maximum - 1).astype(np.uint16) if maximum < 256 else painted(3, 200).astype(np.uint16)
    content = labels.astype(">u2").tobytes() if maximum > 255 else labels.astype(np.uint8).tobytes()
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 %d %d %d\n" % (*labels.shape[::-1], maximum) + content)
    np.testing.assert_array_equal(read_labels(path), labels)


def test_palettes_give_indices(tmp_path: Path) -> None:
    image = Image.fromarray(painted(1, 2), "P")
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    np.testing.assert_array_equal(reread(tmp_path, image), painted(1, 2))


@pytest.mark.parametrize(
    ("colours", "options", "says"),
    [
        ([255, 0, 0, 255, 255, 255], {}, "index 0 is the colour #ff0000 and whose index 1 is #ffffff"),
        ([0, 0, 0, 255, 255, 255], {"transparency": 1}, "index 1 is transparent"),
    ],
)
def test_a_palette_whose_background_is_not_0_is_refused(
    tmp_path: Path, colours: list[int], options: dict[str, int], says: str
) -> None:
    image = Image.fromarray(painted(0, 0, 1), "P")
    image.paste(0, (3, 2, 8, 8))
    image.putpalette(colours)
    with pytest.raises(BrokenSampleError, match=says):
        reread(tmp_path, image, **options)


@pytest.mark.parametrize("alpha", [None, 255])
def test_colours_of_one_grey_level_are_two_labels(tmp_path: Path, alpha: int | None) -> None:
    pixels = np.zeros((*painted().shape, 3 if alpha is None else 4), np.uint8)
    if alpha is not None:
        pixels[..., 3] = alpha
    pixels[FIRST][..., :3], pixels[SECOND][..., :3] = (255, 0, 0), (0, 130, 0)
    labels = reread(tmp_path, pixels)
    assert (labels[FIRST] == RED).all()
    assert (labels[SECOND] == GREEN).all()
    assert distinct_values(labels).tolist() == [0, GREEN, RED]


def test_grey_levels_in_three_channels_are_values(tmp_path: Path) -> None:
    labels = reread(tmp_path, np.dstack([painted(7, 255)] * 3))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, painted(7, 255))


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (255, 0, 0)])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_mask_in_the_alpha_channel_is_read(tmp_path: Path, colour: tuple[int, int, int], mode: str) -> None:
    pixels = np.zeros((*painted().shape, 4), np.uint8) + np.array([*colour, 0], np.uint8)
    pixels[..., 3] = painted(255)
    np.testing.assert_array_equal(reread(tmp_path, Image.fromarray(pixels).convert(mode)), painted(255))


def test_transparent_pixels_are_background_beside_opaque_colours(tmp_path: Path) -> None:
    pixels = np.full((*painted().shape, 4), 255, np.uint8)
    pixels[..., 3] = 0
    pixels[FIRST], pixels[SECOND] = (255, 0, 0, 255), (0, 130, 0, 255)
    assert distinct_values(reread(tmp_path, pixels)).tolist() == [0, GREEN, RED]


def _pixels(*blocks: tuple[int, int, int, int]) -> np.ndarray:
    pixels = np.zeros((*painted().shape, 4), np.uint8)
    for where, colour in zip((FIRST, SECOND), blocks, strict=True):
        pixels[where] = colour
    return pixels


@pytest.mark.parametrize(
    ("image", "suffix", "options", "says"),
    [
        (painted(1) * np.float32(0.5), "tif", {}, "holds floats such as 0.5; labels are whole numbers"),
        (painted(1) * np.float32(-2), "tif", {}, "holds floats such as -2"),
        (painted(1) * np.float32(3e9), "tif", {}, "holds floats such as 3e"),
        (np.where(painted(1), np.float32(np.nan), 0), "tif", {}, "NaN or infinite"),
        (painted(1).astype(np.int32) * -5, "tif", {}, "holds the value -5"),
        (painted(255), "jpg", {}, "a JPEG, which changes values at edges; save masks as PNG"),
        (painted(255), "jp2", {}, "a JPEG 2000, which changes"),
        (painted(255), "webp", {}, "a WebP with loss"),
        (painted(255), "tif", {"compression": "jpeg"}, "a TIFF that is compressed as JPEG"),
        (_pixels((255, 0, 0, 255), (0, 0, 0, 255)), "png", {}, "black pixels and transparent ones"),
        (_pixels((255, 0, 0, 255), (0, 255, 0, 128)), "png", {}, "half-transparent pixels"),
        (painted(1), "tif", {"save_all": True, "append_images": [Image.fromarray(painted(2))]}, "several pages"),
        (Image.fromarray(_pixels((9, 9, 9, 9), (1, 2, 3, 4))[..., :3]).convert("CMYK"), "tif", {}, "the kind CMYK"),
    ],
)
def test_what_is_no_label_is_refused_with_the_reason(
    tmp_path: Path, image: Image.Image | np.ndarray, suffix: str, options: dict[str, object], says: str
) -> None:
    path = written(tmp_path, image, suffix, **options)
    with pytest.raises(BrokenSampleError, match=rf"^The mask .*a\.{suffix} .*{says}"):
        read_labels(path)


def test_a_jpeg_that_is_called_png_is_refused(tmp_path: Path) -> None:
    written(tmp_path, painted(255), "jpg").rename(tmp_path / "a.png")
    with pytest.raises(BrokenSampleError, match="is a JPEG"):
        read_labels(tmp_path / "a.png")


@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_16_bits_are_refused(tmp_path: Path, channels: int) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((24, 32, channels), np.uint16))
    with pytest.raises(BrokenSampleError, match="several channels of more than 8 bits"):
        read_labels(tmp_path / "a.png")


def test_a_mask_without_loss_in_webp_is_read(tmp_path: Path) -> None:
    np.testing.assert_array_equal(reread(tmp_path, painted(255), "webp", lossless=True), painted(255))


@pytest.mark.parametrize(("orientation", "turned"), [(3, np.rot90(painted(1, 2), 2)), (6, np.rot90(painted(1, 2), -1))])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_mask_is_turned_like_its_image(tmp_path: Path, orientation: int, turned: np.ndarray, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(reread(tmp_path, painted(1, 2), suffix, exif=exif), turned)


def test_a_mask_of_too_many_pixels_is_refused_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, np.zeros((100, 101), bool))
    path.write_bytes(path.read_bytes()[:60])
    monkeypatch.setattr("sam_evaluation.datasets.label_files.max_pixels", lambda: 10_000)
    with pytest.raises(BrokenSampleError, match="101 x 100 pixels; at most 10,000 are taken"):
        read_labels(path)


@pytest.mark.parametrize(
    ("make", "most"),
    [
        ("Image.new('1', (5000, 4000))", 3),
        ("Image.new('L', (5000, 4000))", 3),
        ("Image.new('I;16', (5000, 4000))", 4),
        ("Image.new('RGB', (5000, 4000), (255, 0, 0))", 10),
    ],
)
def test_a_mask_takes_few_bytes_a_pixel(tmp_path: Path, make: str, most: int) -> None:
    before = f"""
        from PIL import Image
        from sam_evaluation.datasets.label_files import read_labels
        {make}.save({str(tmp_path / "a.png")!r})
        Path("/proc/self/clear_refs").write_text("5")
    """
    code = f"read_labels(Path({str(tmp_path / 'a.png')!r}))"
    assert_peak(before, code, below=most * 5000 * 4000)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_distinct_values_are_those_of_unique(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_values, "_BLOCK_PIXELS", 100)
    labels = np.random.default_rng(0).integers(0, 200, (40, 30)).astype(dtype)
    np.testing.assert_array_equal(distinct_values(labels), np.unique(labels))


def test_a_photograph_is_no_mask() -> None:
    with pytest.raises(ValueError, match=r"has \d,\d+ colours, so it is a photograph"):
        colours_of(np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "value"),
    [("7", 7), ("#ff0000", RED), ("#FF0000", RED), ("#808080", 128), ("#ff00", None), ("ff0000", None)],
)
def test_a_label_is_named_by_its_number_or_its_colour(name: str, value: int | None) -> None:
    assert value_of_name(name) == value
    if value is not None and value != 128:
        assert value_name(value) == name.lower()


def _disc(levels: dict[float, int]) -> np.ndarray:
    rows, columns = np.mgrid[:80, :90]
    distance = np.hypot(rows - 40, columns - 45)
    labels = np.zeros((80, 90), np.uint8)
    for radius, value in levels.items():
        labels[distance < radius] = value
    return labels


@pytest.mark.parametrize(
    ("labels", "is_smoothed"),
    [
        (_disc({20: 255}), False),
        (_disc({20: 3, 10: 7}), False),
        (_disc({20: 1, 19: 2}), False),
        (cv2.GaussianBlur(_disc({20: 255}), (5, 5), 0), True),
        (cv2.resize(_disc({20: 255}), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), True),
        (cv2.resize(_disc({20: 3, 10: 7}), None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR), True),
        (cv2.imdecode(cv2.imencode(".jpg", _disc({20: 255}))[1], cv2.IMREAD_GRAYSCALE), True),
    ],
    ids=["binary", "classes", "outline", "blurred", "scaled", "scaled classes", "from JPEG"],
)
def test_values_that_lie_only_along_edges_are_rims(labels: np.ndarray, is_smoothed: bool) -> None:
    assert (len(rim_values(labels)) > 1) is is_smoothed
