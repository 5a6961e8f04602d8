"""The command `everything` as a user types it."""

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

from mask_files import save
from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.segmenters.automatic import DEFAULT_AUTOMATIC, DEFECTS
from sam_inspect.main import app


def typed(*words):
    """Return what was printed; a user's mistake is raised as `main` gets it."""
    result = CliRunner().invoke(app, ["everything", *map(str, words)], env={"COLUMNS": "200"})
    if isinstance(result.exception, SamInspectError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def folder(tmp_path):
    """Two images with a dark square, and one that is broken."""
    for number in range(2):
        pixels = np.full((64, 80, 3), 200 + number, np.uint8)
        pixels[16:48, 24:56] = 40
        save(tmp_path / "images" / f"{number}.png", pixels)
    (tmp_path / "images" / "2.png").write_bytes(b"")
    return tmp_path / "images"


def test_a_folder_is_segmented_and_what_is_left_out_is_named(folder, tmp_path):
    out = tmp_path / "out"
    printed = typed("--images", folder, "--out", out, "--points-per-side", 3, "--like", "defects")
    assert f"{out} holds " in printed
    assert " masks on 2 images." in printed
    assert "1 image could not be used:\n  2.png: The image 2.png is not an image that can be read" in printed
    assert Image.open(out / "sheet-1.png").size == (640, 338)
    (left, top, right, bottom) = np.array((out / "instances.csv").read_text().split("\n")[1].split(",")[3:7], int)
    assert abs(np.array([left - 24, top - 16, right - 56, bottom - 48])).max() <= 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--pred-iou-thresh", "1.5"), "pred_iou_thresh is from 0 to 1; got 1.5."),
        (("--points-per-side", "0"), "points_per_side is from 1 to 256; got 0."),
        (("--stability-score-offset", "inf"), "stability_score_offset is 0 or more; got inf."),
        (("--project", "3", "--like", "defects"), "--like does not go with --project"),
        (("--project", "3", "--min-contrast", "0.5"), "--min-contrast does not go with --project"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_any_work(folder, tmp_path, options, sentence):
    with pytest.raises(BadRequestError, match=sentence):
        typed("--images", folder, "--out", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_the_options_have_the_defaults_of_the_settings():
    options = {option.name: option.default for option in get_command(app).commands["everything"].params}
    assert vars(DEFAULT_AUTOMATIC).items() <= options.items()


def test_like_defects_is_stricter():
    assert DEFECTS.max_area_fraction < DEFAULT_AUTOMATIC.max_area_fraction
    assert DEFECTS.min_contrast > DEFAULT_AUTOMATIC.min_contrast
    assert DEFECTS.stability_score_thresh >= DEFAULT_AUTOMATIC.stability_score_thresh
