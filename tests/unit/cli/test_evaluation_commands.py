"""The commands of the evaluation as a user types them, on the baselines that need no model."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from sam_backend.errors import SamInspectError
from sam_inspect.main import app

FILES = (
    "objects.parquet",
    "images.parquet",
    "summary.csv",
    "report.html",
    "report.md",
    "run.json",
    "broken.csv",
    "left_out.csv",
)


def typed(*words: object) -> tuple[int, str]:
    """Return the exit code and what was printed; a user's mistake is raised as `main` gets it."""
    result = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    if isinstance(result.exception, SamInspectError):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Twelve images: L-shaped objects, of which a filled box gets the half, and one image without its mask."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for index in range(12):
        mask = np.zeros((40, 60), np.uint8)
        mask[5:25, 10 + index : 15 + index] = mask[20:25, 10 + index : 30 + index] = 255
        Image.fromarray(60 + mask // 2).save(folder / "images" / f"{index}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{index}.png")
    (folder / "masks" / "11.png").unlink()
    return f"masks:{folder}"


@pytest.fixture(scope="module")
def run(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "both"
    code, printed = typed(
        *("evaluate", "--model", "boxfill", "--model", "felzenszwalb", "--data", data),
        *("--protocol", "box,click", "--jobs", 1, "--out", out),
    )
    assert code == 0, printed
    assert "boxfill" in printed
    assert "One mask 11.* was expected" in printed, "what could not be used is told at the end"
    return out


def test_a_run_leaves_its_rows_summary_report_and_settings(run: Path) -> None:
    assert all((run / name).is_file() for name in FILES)
    assert list((run / "figures").glob("*.png"))


def test_scores_of_boxes_are_printed(data: str, tmp_path: Path) -> None:
    words = ("--model", "nano", "--protocol", "everything", "--boxes", "--limit", 1, "--jobs", 1)
    code, printed = typed("evaluate", *words, "--data", data, "--out", tmp_path / "boxes")
    assert code == 0, printed
    assert re.search(r"box AP +box AP50 +box AR100", printed), printed


def test_the_report_is_made_again_without_the_model(run: Path) -> None:
    (run / "report.html").unlink()
    assert typed("report", run)[0] == 0
    assert (run / "report.html").is_file()


def test_models_of_one_run_are_compared(run: Path, data: str) -> None:
    code, printed = typed("compare", f"{run}@boxfill", f"{run}@boxfill")
    assert code == 0
    assert "No difference could be shown" in printed


def test_a_gate_fails_with_exit_code_1_and_passes_with_0(run: Path) -> None:
    assert typed("gate", f"{run}@boxfill", "--min", "iou.box>=0.3", "--max", "hd95.box<=40")[0] == 0
    code, printed = typed("gate", f"{run}@boxfill", "--min", "iou.box>=0.9")
    assert code == 1
    assert "NOT met" in printed


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("compare", "{run}", "{run}"), "holds boxfill, felzenszwalb; name one: {run}@boxfill."),
        (("gate", "{run}@nano", "--min", "iou.box>=0"), "holds boxfill, felzenszwalb; there is no 'nano'"),
        (("gate", "{run}@boxfill", "--min", "iou.box<=0.9"), "--min takes >= or >; got iou.box <= 0.9."),
        (("gate", "{run}@boxfill"), "Give at least one bound"),
        (("evaluate", "--out", "{run}/no"), "Name what to measure on with --data"),
        (("evaluate", "--out", "{run}/no", "--data", "{data}", "--connectivity", "6"), "--connectivity is 8, 4 or 0"),
        (
            (
                "evaluate",
                "--out",
                "{run}/no",
                "--data",
                "{data}",
                "--predictions",
                "{run}",
                "--predictions-are",
                "mask",
            ),
            "--predictions-are is auto, labels, probabilities; got 'mask'",
        ),
        (
            ("evaluate", "--out", "{run}/no", "--label-studio-export", "a.json", "--min-area", "9"),
            "--label-studio-export takes only --out and --seed beside it; leave --min-area out.",
        ),
    ],
)
def test_a_mistake_is_one_sentence(run: Path, data: str, words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(SamInspectError) as error:
        typed(*(word.format(run=run, data=data) for word in words))
    assert sentence.format(run=run) in str(error.value)
    assert not (run / "no").exists()


def test_what_was_left_out_is_told_and_a_row_of_a_box_costs_only_itself(tmp_path: Path) -> None:
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    (tmp_path / "classes.txt").write_text("dent\n")
    (tmp_path / "labels" / "a.txt").write_text("0 0.1 0.1 0.9 0.1 0.9 0.9\n0 0.5 0.5 0.1 0.1\n")
    (tmp_path / "labels" / "b.txt").touch()

    words = ("evaluate", "--model", "boxfill", "--protocol", "box", "--jobs", 1, "--data", f"yolo:{tmp_path}")
    code, printed = typed(*words, "--out", tmp_path / "run")

    assert code == 0, printed
    assert "yolo: 1 left out in 1 image: box without an outline; first: a.png, Row 2 of " in printed
    assert "yolo: 1 left out: label file without an image (first: b.txt)." in printed
