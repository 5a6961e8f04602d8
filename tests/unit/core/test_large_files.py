import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from sam_backend.core.large_files import LargeFiles, is_large
from sam_backend.errors import BadRequestError, SamInspectError

PIXELS = np.random.default_rng(0).integers(0, 255, (300, 400), dtype=np.uint8)


def tiff(pixels=PIXELS, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **{"tile": (64, 64), "photometric": "minisblack"} | options)
    return file.getvalue()


def png(pixels=PIXELS):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def files_in(folder, limit=10**9, **options):
    return LargeFiles(folder, limit, **{"larger_than": 100_000, "max_pixels": 10**6} | options)


def not_again():
    raise AssertionError("the file is fetched again")


@pytest.mark.parametrize("make", [tiff, png])
def test_a_large_image_is_kept_and_read_in_parts_also_by_another_process(tmp_path, make):
    kept = files_in(tmp_path).keep(make(), "a")
    assert kept.size == PIXELS.shape
    assert is_large(kept)
    reader = files_in(tmp_path).reader(kept, "a", not_again)
    assert np.array_equal(reader.part((10, 20, 110, 70))[..., 1], PIXELS[20:70, 10:110])


@pytest.mark.parametrize("make", [tiff, png])
def test_an_image_that_is_not_large_is_not_kept(tmp_path, make):
    assert files_in(tmp_path, larger_than=PIXELS.size).keep(make(), "a") is None
    assert not list(tmp_path.iterdir())


def test_a_file_that_breaks_off_is_refused_so_that_the_whole_one_is_taken_when_it_is_there(tmp_path):
    with pytest.raises(BadRequestError, match="a is truncated or corrupt"):
        files_in(tmp_path).keep(tiff()[:-10_000], "a")
    assert not list(tmp_path.iterdir())


def test_an_image_that_is_decoded_as_a_whole_has_a_limit_and_one_of_tiles_has_none(tmp_path):
    files = files_in(tmp_path, max_pixels=110_000)
    assert files.keep(tiff(), "a") is not None
    with pytest.raises(BadRequestError, match="MAX_IMAGE_PIXELS"):
        files.keep(png(), "a")


def test_the_files_not_used_for_the_longest_time_are_dropped_and_fetched_again(tmp_path):
    files = files_in(tmp_path, limit=300_000)
    first = files.keep(tiff(), "a")
    files.keep(tiff(PIXELS[::-1]), "b")
    third = files.keep(tiff(PIXELS[:, ::-1]), "c")
    assert len(list(tmp_path.iterdir())) == 2
    again = files_in(tmp_path, limit=300_000)
    again.reader(third, "c", not_again)
    fetched = []
    again.reader(first, "a", lambda: fetched.append("a") or tiff())
    assert fetched == ["a"]


def test_a_file_that_is_another_one_when_it_is_fetched_again_is_refused(tmp_path):
    files = files_in(tmp_path)
    kept = files.keep(tiff(), "The image a")
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(BadRequestError, match="The image a has changed"):
        files.reader(kept, "The image a", lambda: tiff(PIXELS[::-1]))


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SamInspectError, match=r"must be kept in .* SAM_INSPECT_CACHE"):
        files_in(tmp_path / "file").keep(tiff(), "a")


def test_a_damaged_file_is_named(tmp_path):
    kept = files_in(tmp_path).keep(tiff(), "The image a")
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"II*\0")
    with pytest.raises(SamInspectError, match="The image a cannot be read from"):
        files_in(tmp_path).reader(kept, "The image a", not_again)
