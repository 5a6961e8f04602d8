import io
import mmap

import numpy as np
import pytest
import tifffile
from PIL import Image

from sam_backend.errors import BadRequestError
from sam_backend.segmenters.tiled_tiff import open_tiled_tiff
from sam_backend.segmenters.value_window import ValueWindow

RNG = np.random.default_rng(0)
GREY = np.add.outer(np.arange(200), np.arange(310)).astype(np.uint16)
COLOURS = np.stack([GREY // 2, GREY // 3, 255 - GREY // 4], 2).astype(np.uint8)
OPTIONS = {
    "BigTIFF": {"bigtiff": True, "tile": (64, 48)},
    "Deflate": {"compression": "zlib", "tile": (64, 64)},
    "predictor": {"compression": "zlib", "predictor": True, "tile": (64, 64)},
    "big-endian": {"byteorder": ">", "tile": (64, 64)},
    "strips": {"rowsperstrip": 16},
}
PARTS = [(0, 0, 310, 200), (60, 70, 65, 75), (250, 150, 310, 200), (47, 63, 49, 129)]


def written(pixels, **options):
    photometric = "rgb" if pixels.ndim == 3 else "minisblack"
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric=photometric, **options)
    return file.getvalue()


def saved(pixels, **options):
    """A file of strips that Pillow writes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "TIFF", **options)
    return file.getvalue()


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("pixels", [(GREY // 2).astype(np.uint8), COLOURS], ids=["grey", "RGB"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_part_has_the_pixels_of_the_file(options, pixels, part):
    reader = open_tiled_tiff(written(pixels, **options), "a")
    left, top, right, bottom = part
    expected = pixels[top:bottom, left:right]
    assert reader.size == (200, 310)
    assert reader.mapping == ""
    assert np.array_equal(reader.part(part), expected if pixels.ndim == 3 else np.repeat(expected[..., None], 3, 2))


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg", "packbits"])
def test_other_compressions_are_read_too(compression):
    reader = open_tiled_tiff(saved(COLOURS, compression=compression), "a")
    difference = np.abs(reader.part((0, 0, 310, 200)).astype(int) - COLOURS)
    assert difference.max() <= (12 if compression == "jpeg" else 0)


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_deep_values_are_mapped_alike_in_every_part(kind):
    reader = open_tiled_tiff(written((GREY * 100).astype(kind), tile=(64, 64)), "a")
    whole = reader.part((0, 0, 310, 200))[..., 0]
    assert whole.min() == 0
    assert whole.max() == 255
    assert np.array_equal(reader.part((250, 150, 310, 200))[..., 0], whole[150:, 250:])
    assert "as 0 to 255" in reader.mapping


def test_deep_colours_are_read():
    deep = COLOURS.astype(np.uint16) * 257
    pixels = open_tiled_tiff(written(deep, tile=(64, 64)), "a").part((0, 0, 310, 200))
    assert np.array_equal(pixels, ValueWindow.of_values(deep).map(deep))


def pyramid():
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        shared = {"tile": (64, 64), "photometric": "minisblack"}
        writer.write((GREY // 2).astype(np.uint8), subifds=2, **shared)
        # Marked by their values: a level that is read can be told.
        writer.write(np.full((100, 155), 11, np.uint8), subfiletype=1, **shared)
        writer.write(np.full((50, 78), 22, np.uint8), subfiletype=1, **shared)
    return file.getvalue()


@pytest.mark.parametrize(("side", "value"), [(78, 22), (60, 22), (100, 11), (155, 11)])
def test_a_shrunk_image_is_read_from_the_smallest_level_that_is_large_enough(side, value):
    shrunk = open_tiled_tiff(pyramid(), "a").shrunk(side)
    assert max(shrunk.shape[:2]) >= side
    assert (shrunk == value).all()


def test_levels_may_also_be_pages_and_other_pages_are_no_levels():
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for pixels in (GREY // 2, np.full((100, 155), 11), np.full((90, 90), 33)):
            writer.write(pixels.astype(np.uint8), tile=(64, 64), photometric="minisblack")
    assert (open_tiled_tiff(file.getvalue(), "a").shrunk(100) == 11).all()
    assert open_tiled_tiff(file.getvalue(), "a").shrunk(80).shape[1] > 90


def test_without_levels_an_image_is_shrunk_band_by_band(monkeypatch):
    monkeypatch.setattr("sam_backend.segmenters.tiled_tiff._BAND_PIXELS", 310 * 20)
    pixels = (GREY // 2).astype(np.uint8)
    shrunk = open_tiled_tiff(written(pixels, tile=(64, 64)), "a").shrunk(100)
    expected = pixels[1::3, 1::3][: shrunk.shape[0], : shrunk.shape[1]]
    assert shrunk.shape[:2] == (67, 103)
    assert np.abs(shrunk[..., 0].astype(int) - expected[:67, :103]).max() <= 3


def test_only_the_tiles_that_are_needed_are_read(tmp_path):
    pixels = (GREY // 2).astype(np.uint8)
    file = bytearray(written(pixels, tile=(64, 64)))
    with tifffile.TiffFile(io.BytesIO(file)) as tiff:
        offsets, counts = tiff.pages[0].dataoffsets, tiff.pages[0].databytecounts
    for offset, count in list(zip(offsets, counts, strict=True))[1:]:
        file[offset : offset + count] = bytes(count)
    path = tmp_path / "a.tif"
    path.write_bytes(file)
    with path.open("rb") as stream:
        reader = open_tiled_tiff(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), "a")
    assert np.array_equal(reader.part((0, 0, 64, 64))[..., 0], pixels[:64, :64])
    assert not reader.part((64, 64, 128, 128)).any()


def test_an_empty_tile_is_black():
    file = io.BytesIO()
    tiles = (None if index else np.full((64, 64), 9, np.uint8) for index in range(2))
    tifffile.imwrite(file, tiles, shape=(64, 128), dtype=np.uint8, tile=(64, 64), photometric="minisblack")
    assert open_tiled_tiff(file.getvalue(), "a").part((60, 0, 70, 1))[0, :, 0].tolist() == [9] * 4 + [0] * 6


def test_a_file_that_breaks_off_is_named():
    file = written(COLOURS, tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(io.BytesIO(file)) as tiff:
        page = tiff.pages[0]
        assert page.offset < page.dataoffsets[0]
        last = page.dataoffsets[-1]
    reader = open_tiled_tiff(file[: last + 20], "The image a")
    reader.part((0, 0, 60, 60))
    with pytest.raises(BadRequestError, match="The image a is truncated or corrupt"):
        reader.part((250, 150, 310, 200))


def test_a_tile_with_damaged_bytes_is_named():
    file = bytearray(written(COLOURS, tile=(64, 64), compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(file)) as tiff:
        start, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    damaged = bytes(byte ^ 255 for byte in file[start : start + count])
    file[start + count // 2 : start + count] = damaged[count // 2 :]
    reader = open_tiled_tiff(bytes(file), "The image a")
    reader.part((64, 64, 128, 128))
    with pytest.raises(BadRequestError, match="The image a is truncated or corrupt"):
        reader.part((0, 0, 64, 64))


def test_floats_without_a_number_are_named():
    reader = open_tiled_tiff(written(np.full((200, 310), np.nan, np.float32), tile=(64, 64)), "The image a")
    with pytest.raises(BadRequestError, match="The image a is truncated or corrupt"):
        reader.part((0, 0, 64, 64))


def test_a_header_of_other_tiles_than_the_file_has_is_left_to_the_reader_of_whole_files():
    file = bytearray(written(COLOURS, tile=(64, 64)))
    with tifffile.TiffFile(io.BytesIO(file)) as tiff:
        width = tiff.pages[0].tags["ImageWidth"].valueoffset
    file[width : width + 2] = (6000).to_bytes(2, "little")
    assert open_tiled_tiff(bytes(file), "a") is None


OTHERS = {
    "a stack": (np.zeros((3, 200, 310), np.uint8), {"tile": (64, 64), "photometric": "minisblack"}),
    "one strip of all": (np.zeros((5000, 4000), np.uint8), {"rowsperstrip": 5000}),
    "32-bit integers": (GREY.astype(np.int32), {"tile": (64, 64)}),
    "separate planes": (
        COLOURS.transpose(2, 0, 1),
        {"tile": (64, 64), "planarconfig": "separate", "photometric": "rgb"},
    ),
    "turned": (GREY, {"tile": (64, 64), "extratags": [(274, 3, 1, 6, True)]}),
}


@pytest.mark.parametrize(("pixels", "options"), OTHERS.values(), ids=OTHERS)
def test_what_is_not_read_by_tiles_is_left_to_the_reader_of_whole_files(pixels, options):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    assert open_tiled_tiff(file.getvalue(), "a") is None


@pytest.mark.parametrize(
    "file", [b"", b"II*\0", b"\x89PNG\r\n", written(GREY)[:100]], ids=["empty", "magic", "PNG", "cut"]
)
def test_what_is_no_tiff_is_left_to_the_reader_of_whole_files(file):
    assert open_tiled_tiff(file, "a") is None


def test_a_page_is_read_by_its_number():
    stack = np.stack([np.full((200, 310), value, np.uint8) for value in (5, 6)])
    file = io.BytesIO()
    tifffile.imwrite(file, stack, tile=(64, 64), photometric="minisblack")
    reader = open_tiled_tiff(file.getvalue(), "a", 2)
    assert (reader.part((0, 0, 10, 10)) == 6).all()
    assert reader.digest != open_tiled_tiff(file.getvalue(), "a", 1).digest
