"""Predictions of any model in a folder: their images, their content, and how they are measured."""

from __future__ import annotations

import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mask_files import FIRST, HEIGHT, SECOND, WIDTH, painted, save, surface
from sam_evaluation import RunSettings, evaluate
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule
from sam_evaluation.errors import BrokenSampleError, EvaluationError
from sam_evaluation.prediction_files import Predictions, ValueKind
from sam_evaluation.run_files import Run
from sam_evaluation.summary_tables import detection

SIZE = (HEIGHT, WIDTH)
SURE, UNSURE = 0.9, 0.3
MAP = np.where(painted(1) > 0, SURE, 0) + np.where(painted(0, 1) > 0, UNSURE, 0)


def _write(path: Path, pixels: NDArray[np.generic]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix == ".npz":
        np.savez_compressed(path, pixels)
    else:
        Image.fromarray(pixels).save(path)
    return path


def _proposed(path: Path, rule: ObjectRule = DEFAULT_RULE, **how: object):
    return Predictions(path.parent, **how).propose([path], "a", SIZE, rule)


# What a file holds


@pytest.mark.parametrize(
    ("name", "pixels", "how"),
    [
        ("a.png", painted(255, 255), {}),
        ("a.bmp", painted(1, 1), {}),
        ("a.png", painted(1, 1) > 0, {}),
        ("a.tif", painted(1, 1).astype(np.uint16) * 65535, {}),
        ("a.npy", painted(1, 1).astype(np.int64), {}),
        ("a.png", painted(1, 2), {"kind": ValueKind.LABELS}),
        ("a.tiff", painted(9, 9), {"kind": ValueKind.LABELS}),
    ],
)
def test_parts_of_masks_are_proposals_of_score_1(
    tmp_path: Path, name: str, pixels: NDArray[np.uint8], how: dict[str, ValueKind]
) -> None:
    result = _proposed(_write(tmp_path / name, pixels), **how)
    # Of equal scores the larger first.
    assert [part.area for part in result.masks] == [48, 30]
    assert result.masks[0].mask[SECOND].all()
    assert result.scores.tolist() == [1, 1]
    assert np.isnan(result.predicted_iou).all()


@pytest.mark.parametrize(
    ("name", "pixels", "how"),
    [
        ("a.npy", MAP, {}),
        ("a.npz", MAP[None].astype(np.float16), {}),
        ("a.tif", MAP.astype(np.float32), {}),
        ("a.png", np.round(MAP * 255).astype(np.uint8), {"kind": ValueKind.PROBABILITIES}),
        ("a.png", np.round(MAP * 65535).astype(np.uint16), {"kind": ValueKind.PROBABILITIES}),
        ("a.tif", np.round(MAP * 65535).astype(np.uint16), {"kind": ValueKind.PROBABILITIES}),
    ],
)
def test_probabilities_become_proposals_from_the_threshold_on(
    tmp_path: Path, name: str, pixels: NDArray[np.generic], how: dict[str, ValueKind]
) -> None:
    path = _write(tmp_path / name, pixels)
    assert _proposed(path, **how).scores == pytest.approx([SURE], abs=0.003)
    both = _proposed(path, threshold=0.2, **how)
    assert both.scores == pytest.approx([SURE, UNSURE], abs=0.003)
    assert both.masks[0].mask[FIRST].all()


def test_parts_of_two_classes_that_touch_are_two(tmp_path: Path) -> None:
    labels = painted(1)
    labels[:, 8:12] = 2
    path = _write(tmp_path / "a.png", labels)
    assert len(_proposed(path, kind=ValueKind.LABELS).masks) == 2


def test_parts_are_made_by_the_rule_of_the_run(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.png", painted(255, 255))
    assert [part.area for part in _proposed(path, ObjectRule(8, 40)).masks] == [48]
    assert [part.area for part in _proposed(path, ObjectRule(0, 20)).masks] == [78]


@pytest.mark.parametrize(
    ("name", "pixels", "how", "sentence"),
    [
        (
            "a.png",
            painted(1, 2),
            {},
            r"3 different values up to 2.*--predictions-are labels.*probabilities \(0 to 255\)",
        ),
        (
            "a.npy",
            painted(1, 2).astype(np.int64),
            {"kind": ValueKind.PROBABILITIES},
            r"say what they are: .* a class\)\.$",
        ),
        ("a.png", np.dstack([painted(255)] * 3), {}, r"a colour image \(RGB\); save one channel"),
        ("a.npy", np.where(MAP > 0.5, np.nan, MAP), {}, "30 pixels that are NaN or infinite"),
        ("a.npy", MAP * 8 - 4, {}, "-4 to 3.2; floats should be probabilities from 0 to 1"),
        ("a.npy", MAP[:, :-2], {}, f"has {WIDTH - 2} x {HEIGHT} pixels, its image {WIDTH} x {HEIGHT}"),
        ("a.png", painted(255)[1:], {}, f"has {WIDTH} x {HEIGHT - 1} pixels, its image"),
        ("a.npy", np.array(["x"]), {}, "values of the type <U1"),
    ],
)
def test_what_a_file_should_not_hold_is_reported(
    tmp_path: Path, name: str, pixels: NDArray[np.generic], how: dict[str, ValueKind], sentence: str
) -> None:
    with pytest.raises(BrokenSampleError, match=sentence):
        _proposed(_write(tmp_path / name, pixels), **how)


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.npz", "a.tif"])
def test_a_damaged_file_is_reported(tmp_path: Path, name: str) -> None:
    whole = _write(tmp_path / name, painted(255)).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BrokenSampleError, match="cannot be read"):
        _proposed(tmp_path / name)


def test_several_arrays_in_a_file_are_reported(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", one=MAP, two=MAP)
    with pytest.raises(BrokenSampleError, match="holds 2 arrays"):
        _proposed(tmp_path / "a.npz")


# Which file is whose


def _matched(folder: Path, files: list[str], names: list[str]) -> dict[str, list[str]]:
    for name in files:
        _write(folder / name, painted(255))
    result = Predictions(folder).matched(names)
    return {name: [path.relative_to(folder).as_posix() for path in paths] for name, paths in result.items()}


def test_a_name_with_its_folders_comes_before_one_without(tmp_path: Path) -> None:
    names = ["scratch/000.jpg", "good/000.jpg", "good/001.jpg", "v1.2"]
    files = ["scratch/000.png", "good/000.tif", "elsewhere/001.png", "v1.2.png"]
    assert _matched(tmp_path, files, names) == {name: [file] for name, file in zip(names, files, strict=True)}


def test_a_bare_name_that_several_images_share_is_nobodys(tmp_path: Path) -> None:
    result = _matched(tmp_path, ["000.png", "001.png"], ["scratch/000.jpg", "good/000.jpg", "good/001.jpg"])
    assert result == {"scratch/000.jpg": [], "good/000.jpg": [], "good/001.jpg": ["001.png"]}


def test_two_files_of_one_image_are_reported(tmp_path: Path) -> None:
    assert _matched(tmp_path, ["a.png", "a.npy"], ["a.jpg"]) == {"a.jpg": ["a.npy", "a.png"]}
    with pytest.raises(BrokenSampleError, match=r"One prediction of a.jpg was expected.* there are .*; keep one"):
        Predictions(tmp_path).propose([tmp_path / "a.npy", tmp_path / "a.png"], "a.jpg", SIZE, DEFAULT_RULE)


def test_names_that_never_match_are_reported_with_an_example_of_each(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"such as good/000.png \(or .bmp, .*, found mask_000.png"):
        _matched(tmp_path, ["mask_000.png"], ["good/000.jpg"])
    with pytest.raises(EvaluationError, match="should be a folder"):
        Predictions(tmp_path / "nowhere").matched(["a"])


def test_a_version_is_of_the_bytes_and_of_how_they_are_read(tmp_path: Path) -> None:
    theirs = Predictions(tmp_path)
    _write(tmp_path / "a.npy", MAP)
    first = theirs.version()
    assert Predictions(tmp_path).version() == first
    assert Predictions(tmp_path, threshold=0.4).version() != first
    _write(tmp_path / "a.npy", MAP / 2)  # of the same size
    assert theirs.version() != first


# In a run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for index in range(6):
        save(tmp_path / "data" / "images" / f"{index}.png", surface(index))
        save(tmp_path / "data" / "masks" / f"{index}.png", painted(255, 255 * (index > 0)))
    return tmp_path / "data"


@pytest.fixture
def theirs(tmp_path: Path) -> Predictions:
    for index in range(6):
        save(tmp_path / "unet" / f"{index}.png", painted(255, 255))
    return Predictions(tmp_path / "unet")


def _run(data: Path, theirs: Predictions, out: str = "run", models: tuple[str, ...] = (), **options: object) -> Run:
    where = [f"masks:{data}"]
    settings = options.pop("settings", RunSettings("box,everything"))
    return evaluate(models, where, out=data.parent / out, predictions=[theirs], settings=settings, **options)


def test_predictions_are_measured_beside_a_model(data: Path, theirs: Predictions) -> None:
    run = _run(data, theirs, models=("boxfill",))
    assert run.objects.groupby(["model", "protocol"]).size().to_dict() == {
        ("boxfill", "box"): 11,
        ("unet", "everything"): 11,
    }
    assert (run.objects["iou"] == 1).all()
    result = detection(run.objects, run.images).query("by == 'all'").set_index("metric")["value"]
    assert result["recall_0.5"] == 1
    assert result["precision_0.5"] == 11 / 12
    assert result["false_positives_0.5"] == 1 / 6
    assert result["pixel_iou"] == (6 * 78 - 48) / (6 * 78)
    assert run.about["models"]["unet"]["version"] == theirs.version()


def test_what_is_wrong_with_one_prediction_is_a_line_and_the_rest_goes_on(data: Path, theirs: Predictions) -> None:
    (theirs.folder / "1.png").unlink()
    save(theirs.folder / "2.png", painted(255)[1:])
    (theirs.folder / "3.png").unlink()
    np.save(theirs.folder / "3.npy", np.full(SIZE, np.nan))
    run = _run(data, theirs)
    assert run.images["sample"].tolist() == ["0.png", "4.png", "5.png"]
    assert run.broken["sample"].tolist() == ["1.png", "2.png", "3.png"]
    for reason, part in zip(run.broken["reason"], ["there is none", "both must agree", "NaN"], strict=True):
        assert part in reason


def test_an_image_without_objects_has_its_false_positives_counted(data: Path, theirs: Predictions) -> None:
    save(data / "masks" / "0.png", painted())
    run = _run(data, theirs)
    result = detection(run.objects, run.images).set_index("metric")["value"]
    assert result["false_positives_without_objects"] == 2


@pytest.mark.slow
def test_jobs_and_an_interruption_change_nothing(data: Path, theirs: Predictions) -> None:
    straight = _run(data, theirs, "straight")
    assert _run(data, theirs, "two", jobs=2).objects.equals(straight.objects)
    part = sorted((data.parent / "two" / "parts").rglob("*.parquet"))[0]
    part.unlink()
    assert _run(data, theirs, "two").objects.equals(straight.objects)


def test_a_limit_leaves_the_names_to_match_as_they_are(data: Path, theirs: Predictions) -> None:
    run = _run(data, theirs, settings=RunSettings("everything", limit=2))
    assert run.images["sample"].tolist() == ["0.png", "3.png"]
    assert run.about["models"]["unet"]["version"] == theirs.version()


def test_of_two_data_sets_each_has_its_own_folder(data: Path, theirs: Predictions, tmp_path: Path) -> None:
    for index in range(2):
        save(tmp_path / "neu" / "images" / "test" / f"{index}.jpg", surface(index))
        save(tmp_path / "neu" / "annotations" / "test" / f"{index}.png", painted(1))
    both = tmp_path / "both"
    both.mkdir()
    for name in ("masks", "neu_seg"):
        shutil.copytree(theirs.folder, both / name)
    run = evaluate(
        [],
        [f"masks:{data}", f"neu_seg:{tmp_path / 'neu'}"],
        out=tmp_path / "run",
        predictions=[Predictions(both)],
        settings=RunSettings("everything"),
    )
    assert run.images.groupby(["model", "dataset"]).size().to_dict() == {("both", "masks"): 6, ("both", "neu_seg"): 2}


def test_what_cannot_be_measured_is_reported_before_anything_is_written(data: Path, theirs: Predictions) -> None:
    with pytest.raises(EvaluationError, match="add it to --protocol"):
        _run(data, theirs, settings=RunSettings("box"))
    with pytest.raises(EvaluationError, match="2 models are called unet"):
        evaluate([], [f"masks:{data}"], out=data.parent / "run", predictions=[theirs, theirs])
    with pytest.raises(EvaluationError, match="name a model, or a folder"):
        evaluate([], [f"masks:{data}"], out=data.parent / "run")
    assert not (data.parent / "run").exists()


# Memory


def test_an_array_that_only_claims_its_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    claims = {"shape": (99_999, 99_999), "fortran_order": False, "descr": "<f8"}
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, claims)
    np.savez_compressed(tmp_path / "b.npz", np.zeros((4000, 4000)))
    tracemalloc.start()
    for name in ("a.npy", "b.npz"):
        with pytest.raises(BrokenSampleError, match=rf"{name} .*its image {WIDTH} x {HEIGHT}"):
            _proposed(tmp_path / name)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_an_array_that_is_cut_short_is_reported(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.npy", MAP)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BrokenSampleError, match=r"a\.npy cannot be read"):
        _proposed(path)


def test_a_prediction_of_several_pages_is_refused(tmp_path: Path) -> None:
    pages = [Image.fromarray(painted(255)), Image.fromarray(painted(0, 255))]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(BrokenSampleError, match=r"a\.tif has several pages"):
        _proposed(tmp_path / "a.tif")
