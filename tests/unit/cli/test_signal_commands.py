"""`signal`, as a user types it."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from sam_backend.errors import SamInspectError
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.signals.calibration import Calibration
from sam_inspect.main import app


def typed(*words):
    result = CliRunner().invoke(app, ["signal", *map(str, words)], env={"COLUMNS": "200"})
    if isinstance(result.exception, SamInspectError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "run 1.csv"
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {"time": np.arange(4000) / 500, "acc [g]": random.normal(size=4000), "cur": random.random(4000)}
    )
    table.to_csv(path, index=False)
    return path


def test_a_recording_becomes_pictures_tasks_and_a_labeling_config(recording, tmp_path):
    printed = typed(
        "render", recording, "--fs", 500, "--out", tmp_path / "out", "--label", "outer race", "--label", "x"
    )

    assert f"{tmp_path / 'out'} has 2 pictures, tasks.json to import into Label Studio" in printed
    assert f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={tmp_path}" in printed
    tasks = json.loads((tmp_path / "out/tasks.json").read_text())
    assert [task["data"]["channel"] for task in tasks] == ["acc [g]", "cur"]
    for task in tasks:
        calibration = Calibration.of_data(task["data"]["signal"], "it")
        assert task["data"]["image"] == f"/data/local-files/?d=out/{calibration.picture}"
        assert Image.open(tmp_path / "out" / calibration.picture).size == (calibration.width, calibration.height)
        assert calibration.nyquist == 250
    config = LabelingConfig.parse((tmp_path / "out/labeling-config.xml").read_text())
    assert config.target().shape("outer race") == "brush"


def test_other_addresses_and_another_sampling_are_taken(recording, tmp_path):
    words = ("render", recording, "--no-time", "--fs", 1000, "--column", "cur", "--images-at", "s3://bucket/a/")
    assert "local files" not in typed(*words, "--out", tmp_path / "out")
    (task,) = json.loads((tmp_path / "out/tasks.json").read_text())
    assert task["data"]["image"] == "s3://bucket/a/run-1-csv_3_cur_0001.png".replace("_3_", "_1_")
    assert task["data"]["signal"]["nyquist"] == 500


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fs", "-1"), "--fs is the sampling rate in Hz, above 0; got -1"),
        (("--fs", "100"), "--fs says 100 Hz, but the time column 'time' 500 Hz"),
        (("--no-time",), "sampling rate of .* is unknown"),
        (("--window-length", "5000"), "run 1.csv, acc .*has 4000 samples, fewer than a window of 5000"),
        (("--range", "0", "-9"), "--range takes two numbers of dB, the lower first"),
        (("--column", "nothing"), "has no column 'nothing'"),
    ],
)
def test_what_cannot_be_rendered_is_one_sentence_and_leaves_nothing(recording, tmp_path, words, said):
    with pytest.raises(SamInspectError, match=said):
        typed("render", recording, "--out", tmp_path / "out", *words)
    assert list(tmp_path.iterdir()) == [recording]


def test_a_file_that_fails_after_another_leaves_nothing(recording, tmp_path):
    (tmp_path / "text.csv").write_text("a\nx\n")
    with pytest.raises(SamInspectError, match=r"text\.csv has no column of numbers"):
        typed("render", recording, tmp_path / "text.csv", "--fs", 500, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    with pytest.raises(SamInspectError, match="exists and is not an empty folder"):
        typed("render", recording, "--out", tmp_path / "out")


def test_names_and_labels_are_checked_before_a_recording_is_read(recording, tmp_path):
    (tmp_path / "b").mkdir()
    other, broken = tmp_path / "b" / recording.name, tmp_path / "broken.csv"
    other.write_bytes(recording.read_bytes())
    broken.write_text("")
    for words, said in (
        ((broken, tmp_path / "gone.csv"), r"There is no file .*gone\.csv"),
        ((broken, recording, other), "would have pictures of the same names; rename one"),
        ((broken, "--label", "a", "--label", "a"), "The label 'a' is named twice"),
    ):
        with pytest.raises(SamInspectError, match=said):
            typed("render", *words, "--fs", 500, "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("images_at", "begins"), [("s3://bucket/a", "s3://bucket/a/run"), ("http://h/?d=", "http://h/?d=run")]
)
def test_an_address_of_a_folder_may_lack_its_slash(recording, tmp_path, images_at, begins):
    typed("render", recording, "--fs", 500, "--column", "cur", "--images-at", images_at, "--out", tmp_path / "out")
    (task,) = json.loads((tmp_path / "out/tasks.json").read_text())
    assert task["data"]["image"].startswith(begins)


def test_a_bearing_is_written_rendered_marked_and_comes_back_as_a_table(tmp_path):
    printed = typed("example", "--out", tmp_path / "bearing", "--seconds", 6, "--seed", 4)
    truth = pd.read_csv(tmp_path / "bearing/faults.csv")
    assert f"has 1 recordings with {len(truth)} faults" in printed
    typed("render", tmp_path / "bearing/bearing-0004.csv", "--out", tmp_path / "out")
    (task,) = json.loads((tmp_path / "out/tasks.json").read_text())
    c = Calibration.of_data(task["data"]["signal"], "it")
    result = [
        {
            "id": f"r{number}",
            "type": "rectanglelabels",
            "from_name": "a",
            "to_name": "image",
            "original_width": c.width,
            "original_height": c.height,
            "value": {
                "x": 100 * float(c.columns(fault.t_start)) / c.width,
                "y": 100 * float(c.rows(fault.f_high)) / c.height,
                "width": 100 * (fault.t_end - fault.t_start) / c.seconds_per_pixel / c.width,
                "height": 100 * (fault.f_high - fault.f_low) / c.hertz_per_pixel / c.height,
                "rectanglelabels": [fault.label],
            },
        }
        for number, fault in enumerate(truth.itertuples())
    ]
    export = [{"id": 9, "data": task["data"], "annotations": [{"id": 1, "result": result}]}]
    (tmp_path / "export.json").write_text(json.dumps(export))

    words = ("--from", tmp_path / "export.json", "--pictures", tmp_path / "out")
    printed = typed("intervals", *words, "--out", tmp_path / "table.csv")

    assert f"{tmp_path / 'table.csv'} has {len(truth)} intervals of 1 task." in printed
    table = pd.read_csv(tmp_path / "table.csv")
    assert table["label"].tolist() == truth["label"].tolist()
    for name, half in (("t_start", c.seconds_per_pixel / 2), ("t_end", c.seconds_per_pixel / 2)):
        assert np.abs(table[name] - truth[name]).max() <= half + 1e-6
    for name in ("f_low", "f_high"):
        assert np.abs(table[name] - truth[name]).max() <= c.hertz_per_pixel / 2 + 1e-6
    assert table["peak_frequency"].between(3000, 3400).all()
    assert table["start"].tolist() == pytest.approx(table["t_start"].tolist())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "either a --project, or an export with --from"),
        (("--project", "3", "--from", "x.json"), "either a --project, or an export with --from"),
        (("--project", "3", "--pictures", "x"), "--pictures does not go with --project"),
        (("--project", "3"), "No Label Studio with a project 3 is known here"),
        (("--from", "gone.json"), "gone.json"),
    ],
)
def test_intervals_of_nothing_are_one_sentence(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SamInspectError, match=said):
        typed("intervals", "--out", "table.csv", *words)
    assert list(tmp_path.iterdir()) == []
