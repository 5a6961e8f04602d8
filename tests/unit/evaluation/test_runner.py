"""An evaluation from images on disk to rows on disk, with the baselines as models."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sam_backend.errors import SamInspectError
from sam_evaluation import RunSettings, evaluate, job_rows, runner
from sam_evaluation.errors import EvaluationError
from sam_evaluation.run_files import load_run


@pytest.fixture
def data(tmp_path: Path) -> str:
    folder = tmp_path / "data"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for index in range(6):
        mask = np.zeros((40, 60), np.uint8)
        mask[5:15, 5 + index : 20 + index] = 255
        mask[25:35, 30:50] = 255 * (index > 0)
        Image.fromarray(60 + mask // 2).save(folder / "images" / f"{index}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{index}.png")
    return f"masks:{folder}"


def test_rows_say_what_was_asked_and_what_came(data: str, tmp_path: Path) -> None:
    run = evaluate(["boxfill", "felzenszwalb"], [data], out=tmp_path / "run", settings=RunSettings("box,click"))
    assert run.objects.groupby(["model", "protocol"]).size().to_dict() == {
        ("boxfill", "box"): 11,
        ("felzenszwalb", "click"): 11,
    }
    filled = run.objects[run.objects["model"] == "boxfill"]
    assert (filled[["iou", "dice", "boundary_f", "iou_oracle"]] == 1).all(axis=None)
    assert (filled["hd95"] == 0).all()
    assert run.objects["area"].isin([150, 200]).all()
    again = load_run(tmp_path / "run")
    pd.testing.assert_frame_equal(again.objects, run.objects)
    assert again.about["datasets"]["masks"]["samples"] == 6
    assert again.about["models"]["boxfill"]["version"] == "boxfill-1"


def test_an_image_is_read_and_its_objects_are_measured_once_for_all_models(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    measure = job_rows.measured_objects
    monkeypatch.setattr(job_rows, "measured_objects", lambda sample: measured.append(sample.name) or measure(sample))
    settings = RunSettings("box")
    both = evaluate(["boxfill", "grabcut"], [data], out=tmp_path / "both", settings=settings)
    assert len(measured) == len(set(measured)) == 6
    alone = evaluate(["grabcut"], [data], out=tmp_path / "alone", settings=settings)
    pd.testing.assert_frame_equal(
        both.objects[both.objects["model"] == "grabcut"].reset_index(drop=True), alone.objects
    )


def test_an_interrupted_run_goes_on_and_ends_the_same(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = RunSettings("box:jitter")
    straight = evaluate(["boxfill"], [data], out=tmp_path / "straight", settings=settings)
    calls: list[object] = []
    work = runner._do

    def failing(job: object) -> object:
        calls.append(job)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return work(job)

    monkeypatch.setattr(runner, "_do", failing)
    with pytest.raises(KeyboardInterrupt):
        evaluate(["boxfill"], [data], out=tmp_path / "run", settings=settings)
    with pytest.raises(EvaluationError, match="no finished run"):
        load_run(tmp_path / "run")
    resumed = evaluate(["boxfill"], [data], out=tmp_path / "run", settings=settings)
    assert len(calls) == 3  # one done, one interrupted, and that one again
    pd.testing.assert_frame_equal(resumed.objects, straight.objects)


@pytest.mark.parametrize("damage", ["an empty file", "no table", "a cut table", "another table"])
def test_samples_whose_part_is_damaged_are_evaluated_again(
    data: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    out, settings = tmp_path / "run", RunSettings("box:jitter")
    straight = evaluate(["boxfill"], [data], out=out, settings=settings)
    part = max(out.glob("parts/*/*.parquet"))
    other = pd.DataFrame({"other": [1]}).to_parquet()
    contents = {"an empty file": b"", "no table": b"x\n", "a cut table": part.read_bytes()[:-9], "another table": other}
    part.write_bytes(contents[damage])
    again = evaluate(["boxfill"], [data], out=out, settings=settings)
    assert f"{part} is damaged" in caplog.text
    pd.testing.assert_frame_equal(again.objects, straight.objects)


@pytest.mark.parametrize(("name", "content"), [("objects.parquet", b"x"), ("run.json", b"\xff"), ("run.json", b"[1]")])
def test_a_damaged_file_of_a_run_is_one_sentence(data: str, tmp_path: Path, name: str, content: bytes) -> None:
    evaluate(["boxfill"], [data], out=tmp_path / "run", settings=RunSettings("box"))
    (tmp_path / "run" / name).write_bytes(content)
    with pytest.raises(EvaluationError, match=f"{name} is not readable; evaluate again into another folder"):
        load_run(tmp_path / "run")


@pytest.mark.slow
def test_two_jobs_give_the_rows_of_one(data: str, tmp_path: Path) -> None:
    one, two = (
        evaluate(["felzenszwalb"], [data], out=tmp_path / str(jobs), settings=RunSettings("click:random"), jobs=jobs)
        for jobs in (1, 2)
    )
    pd.testing.assert_frame_equal(one.objects, two.objects)


def test_a_broken_sample_is_listed_and_the_rest_goes_on(data: str, tmp_path: Path) -> None:
    (Path(data.partition(":")[2]) / "images" / "3.png").write_bytes(b"no image")
    run = evaluate(["boxfill"], [data], out=tmp_path / "run", settings=RunSettings("box"))
    assert len(run.objects) == 9
    assert len(run.broken) == 1
    assert "not an image" in run.broken["reason"].iloc[0]
    assert len(load_run(tmp_path / "run").broken) == 1


def test_what_was_mended_in_the_data_is_measured_again(data: str, tmp_path: Path) -> None:
    image = Path(data.partition(":")[2]) / "images" / "3.png"
    whole = image.read_bytes()
    image.write_bytes(b"no image")
    assert len(evaluate(["boxfill"], [data], out=tmp_path / "run", settings=RunSettings("box")).broken) == 1
    image.write_bytes(whole)
    mended = evaluate(["boxfill"], [data], out=tmp_path / "run", settings=RunSettings("box"))
    assert len(mended.objects) == 11
    assert not len(mended.broken)


def test_data_sets_in_folders_of_one_name_are_distinguished(data: str, tmp_path: Path) -> None:
    folder = Path(data.partition(":")[2])
    other = shutil.copytree(folder, tmp_path / "other" / "data")
    run = evaluate(["boxfill"], [data, f"masks:{other}"], out=tmp_path / "run", settings=RunSettings("box"))
    assert run.objects.groupby("dataset").size().to_dict() == {f"masks:{folder}": 11, f"masks:{other}": 11}


def test_a_limit_takes_samples_from_the_whole_set(data: str, tmp_path: Path) -> None:
    run = evaluate(["boxfill"], [data], out=tmp_path / "run", settings=RunSettings("box", limit=2))
    assert run.objects["sample"].nunique() == 2
    assert run.objects["sample"].iloc[-1] > "3"


@pytest.mark.parametrize(
    ("model", "where", "sentence"),
    [
        ("boxfil", "", "did you mean boxfill"),
        ("boxfill", "maks:x", "did you mean masks"),
        ("boxfill", "masks:/nowhere", "does not exist"),
    ],
)
def test_what_cannot_be_run_is_reported_before_anything_is_written(
    data: str, tmp_path: Path, model: str, where: str, sentence: str
) -> None:
    with pytest.raises(SamInspectError, match=sentence):
        evaluate([model], [where or data], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_set_without_any_object_is_an_error_that_counts_what_there_is(data: str, tmp_path: Path) -> None:
    folder = Path(data.partition(":")[2])
    for mask in (folder / "masks").iterdir():
        Image.fromarray(np.zeros((40, 60), np.uint8)).save(mask)
    (folder / "images" / "3.png").write_bytes(b"no image")
    with pytest.raises(
        EvaluationError, match=r"masks has no object; 6 images of it were read.* 1 image could not be used.*3\.png"
    ):
        evaluate(["boxfill"], [data], out=tmp_path / "run", settings=RunSettings("box"))
    with pytest.raises(EvaluationError, match="no finished run"):
        load_run(tmp_path / "run")
    assert (tmp_path / "run" / "broken.csv").stat().st_size > 1


@pytest.mark.parametrize(
    ("models", "protocols", "sentence"),
    [
        (["grabcut"], "text", "grabcut takes the prompts of none of the protocols text, only box, everything, logits"),
        (
            ["grabcut", "boxfill"],
            "everything",
            "boxfill takes the prompts of none of the .* everything, only box",
        ),
        (["grabcut"], "box,exemplar", "No model of this run answers the protocol exemplar; add sam3."),
    ],
)
def test_what_no_model_can_answer_is_said_before_anything_is_computed(
    data: str, tmp_path: Path, models: list[str], protocols: str, sentence: str
) -> None:
    with pytest.raises(EvaluationError, match=sentence):
        evaluate(models, [data], out=tmp_path / "run", settings=RunSettings(protocols))
    assert not (tmp_path / "run").exists()


def test_a_data_set_that_is_named_twice_is_an_error(data: str, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="is named twice"):
        evaluate(["boxfill"], [data, f"{data}/../data"], out=tmp_path / "run", settings=RunSettings("box"))
