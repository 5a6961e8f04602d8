"""What people changed of predictions, from exports as Label Studio 1.23 writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_studio_sdk.converter.brush import mask2rle
from numpy.typing import NDArray
from typer.testing import CliRunner

from mask_files import FIRST, HEIGHT, SECOND, WIDTH, block
from sam_evaluation.errors import EvaluationError
from sam_evaluation.metrics import assd
from sam_evaluation.prediction_changes import OPENED, SCRATCH, UNSEEN, PredictionChanges, read_changes, summary
from sam_evaluation.report.changes_report import write_changes_report
from sam_inspect.main import app

WIDER = np.s_[2:8, 3:10]
Json = dict[str, Any]


def _brush(where: tuple[slice, slice] | NDArray[np.bool_], name: str, label: str = "dent", **more: object) -> Json:
    mask = where if isinstance(where, np.ndarray) else block(where)
    return {
        "id": name,
        "type": "brushlabels",
        "from_name": "brush",
        "to_name": "image",
        "original_width": mask.shape[1],
        "original_height": mask.shape[0],
        "image_rotation": 0,
        "value": {"format": "rle", "rle": mask2rle(mask.astype(np.uint8) * 255), "brushlabels": [label]},
        **more,
    }


def _prediction(*regions: Json, number: int = 7, version: str = "nano-1", **more: object) -> Json:
    created = f"2026-01-01T00:00:{number:02d}Z"
    return {"id": number, "result": list(regions), "model_version": version, "created_at": created, **more}


def _annotation(*regions: Json, parent: int | None = 7, **more: object) -> Json:
    return {
        "id": 1,
        "completed_by": 3,
        "result": list(regions),
        "was_cancelled": False,
        "updated_at": "2026-01-02T00:00:00Z",
        "lead_time": 12.5,
        "prediction": {},
        "parent_prediction": parent,
        **more,
    }


def _task(predictions: list[Json] | list[int], *annotations: Json, number: int = 1) -> Json:
    data = {"image": f"/data/upload/2/0a1b2c3d-{number}.png"}
    return {"id": number, "data": data, "annotations": list(annotations), "predictions": predictions}


def _read(folder: Path, *tasks: Json) -> PredictionChanges:
    file = folder / "export.json"
    file.write_text(json.dumps(tasks))
    return read_changes(file)


def _outcomes(changes: PredictionChanges) -> list[tuple[str, str, str]]:
    return [tuple(row) for row in changes.regions[["region", "matched", "outcome"]].to_numpy().tolist()]


def _values(changes: PredictionChanges, by: str = "all", group: str = "all") -> dict[str, float]:
    table = summary(changes)
    return table[(table["by"] == by) & (table["group"] == group)].set_index("metric")["value"].to_dict()


# One task


def test_pixels_and_label_decide_what_was_changed_not_what_the_page_says(tmp_path: Path) -> None:
    shown = [_brush(FIRST, "a"), _brush(SECOND, "b"), _brush(np.s_[20:24, :], "c"), _brush(np.s_[0:4, 20:30], "d")]
    left = [
        # A region that was only touched is said to be changed.
        _brush(FIRST, "a", origin="prediction-changed"),
        _brush(SECOND, "b", "scratch", origin="prediction-changed"),
        _brush(np.s_[19:24, :], "c", origin="prediction-changed"),
        _brush(np.s_[8:12, 10:14], "x9", origin="manual"),
    ]
    changes = _read(tmp_path, _task([_prediction(*shown)], _annotation(*left)))
    assert _outcomes(changes) == [
        ("a", "id", "unchanged"),
        ("b", "id", "relabelled"),
        ("c", "id", "moved"),
        ("d", "", "deleted"),
        ("x9", "", "added"),
    ]
    rows = changes.regions.set_index("region")
    assert rows["accepted_label"].to_dict() == {"a": "dent", "b": "scratch", "c": "dent", "d": "", "x9": "dent"}
    assert rows["iou"].to_dict() == pytest.approx({"a": 1, "b": 1, "c": 0.8, "d": np.nan, "x9": np.nan}, nan_ok=True)
    assert rows.loc["c", "assd"] == assd(block(np.s_[20:24, :]), block(np.s_[19:24, :]))
    assert rows.loc["c", ["area", "accepted_area"]].tolist() == [4 * WIDTH, 5 * WIDTH]
    about = changes.tasks.iloc[0].to_dict()
    assert about == {"task": 1, "annotator": "3", "model_version": "nano-1", "start": OPENED, "lead_time": 12.5}


def test_without_ids_regions_are_matched_by_overlap_one_to_one(tmp_path: Path) -> None:
    shown = [_brush(FIRST, "a"), _brush(WIDER, "b")]
    changes = _read(tmp_path, _task([_prediction(*shown)], _annotation(_brush(WIDER, "y"), _brush(SECOND, "z"))))
    assert _outcomes(changes) == [("a", "", "deleted"), ("b", "overlap", "unchanged"), ("z", "", "added")]


def test_an_id_is_kept_however_far_the_region_was_moved(tmp_path: Path) -> None:
    changes = _read(tmp_path, _task([_prediction(_brush(FIRST, "a"))], _annotation(_brush(SECOND, "a"))))
    assert _outcomes(changes) == [("a", "id", "moved")]
    assert changes.regions["iou"].tolist() == [0]


def test_a_moved_region_of_another_class_is_moved(tmp_path: Path) -> None:
    changes = _read(tmp_path, _task([_prediction(_brush(FIRST, "a"))], _annotation(_brush(WIDER, "a", "scratch"))))
    assert _outcomes(changes) == [("a", "id", "moved")]
    assert changes.regions["accepted_label"].tolist() == ["scratch"]


def test_the_newest_annotation_that_was_not_cancelled_counts(tmp_path: Path) -> None:
    first = _annotation(_brush(FIRST, "a"))
    last = _annotation(_brush(WIDER, "a"), updated_at="2026-01-03T00:00:00Z", completed_by={"id": 4, "email": "b@c.de"})
    skipped = _annotation(updated_at="2026-01-04T00:00:00Z", was_cancelled=True)
    changes = _read(tmp_path, _task([_prediction(_brush(FIRST, "a"))], first, last, skipped))
    assert _outcomes(changes) == [("a", "id", "moved")]
    assert changes.tasks["annotator"].tolist() == ["b@c.de"]


# Which prediction


def test_of_several_predictions_the_one_it_was_begun_with_counts(tmp_path: Path) -> None:
    shown = [_prediction(_brush(SECOND, "b"), number=9, version="nano-2"), _prediction(_brush(FIRST, "a"), number=7)]
    changes = _read(tmp_path, _task(shown, _annotation(_brush(FIRST, "b"), parent=7)))
    assert changes.tasks["model_version"].tolist() == ["nano-1"]


def test_a_copy_in_the_annotation_will_do_where_predictions_are_ids(tmp_path: Path) -> None:
    copy = _prediction(_brush(FIRST, "a"))
    changes = _read(tmp_path, _task([7], _annotation(_brush(FIRST, "a"), prediction=copy)))
    assert _outcomes(changes) == [("a", "id", "unchanged")]


def test_a_deleted_prediction_is_known_again_by_the_ids_of_its_regions(tmp_path: Path) -> None:
    copy = _prediction(_brush(FIRST, "a"))
    changes = _read(tmp_path, _task([], _annotation(_brush(WIDER, "a"), prediction=copy, parent=None)))
    assert changes.tasks["start"].tolist() == [OPENED]


def test_how_an_annotation_was_begun_is_reported_apart(tmp_path: Path) -> None:
    shown = [_prediction(_brush(FIRST, "a"))]
    changes = _read(
        tmp_path,
        _task(shown, _annotation(_brush(FIRST, "a"))),
        _task(shown, _annotation(_brush(FIRST, "a"), lead_time=None), number=2),
        _task(shown, _annotation(_brush(SECOND, "x"), parent=None), number=3),
    )
    assert changes.tasks["start"].tolist() == [OPENED, UNSEEN, SCRATCH]
    assert _values(changes)["unchanged"] == 1
    assert _values(changes)["added"] == 0
    assert _values(changes, "start", SCRATCH)["added"] == 1


def test_predictions_by_their_ids_alone_are_reported_with_what_to_do(tmp_path: Path) -> None:
    task = _task([7], _annotation(_brush(FIRST, "a")))
    with pytest.raises(EvaluationError, match=r"by its id only; export the predictions, too: POST .*only_id.*false"):
        _read(tmp_path, task)
    usable = _task([_prediction(_brush(FIRST, "a"))], _annotation(_brush(FIRST, "a")), number=2)
    changes = _read(tmp_path, task, usable)
    assert changes.tasks["task"].tolist() == [2]
    assert changes.broken["task"].tolist() == [1]


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (_task([], _annotation(_brush(FIRST, "a"), parent=None)), "Task 1 holds no prediction"),
        (_task([_prediction()]), "no task with an annotation"),
        (
            _task([_prediction(_brush(FIRST, "a"))], _annotation(_brush(np.ones((9, 8), bool), "a"))),
            f"images of 8 x 9 and {WIDTH} x {HEIGHT} pixels",
        ),
        (
            _task([_prediction(_brush(FIRST, "a", value={"rle": [1, 2]}))], _annotation()),
            "Region a cannot be read. The brush mask holds 258 bytes",
        ),
        (_task([{"id": 7, "result": 3}], _annotation()), "A prediction of task 1 is not as its format says"),
    ],
)
def test_what_cannot_be_compared_is_reported(tmp_path: Path, task: Json, sentence: str) -> None:
    with pytest.raises(EvaluationError, match=sentence):
        _read(tmp_path, task)


# Many tasks


@pytest.fixture
def many(tmp_path: Path) -> PredictionChanges:
    both = _prediction(_brush(FIRST, "a"), _brush(SECOND, "b", "scratch"))
    newer = _prediction(_brush(FIRST, "a"), number=8, version="nano-2")
    return _read(
        tmp_path,
        _task([both], _annotation(_brush(FIRST, "a"), _brush(SECOND, "b", "scratch"))),
        _task([both], _annotation(_brush(WIDER, "a"), lead_time=20), number=2),
        _task([newer], _annotation(_brush(FIRST, "a"), _brush(SECOND, "x"), parent=8, lead_time=30), number=3),
        _task([newer], _annotation(parent=8, lead_time=None), number=4),
    )


def test_shares_are_of_predicted_regions_and_of_accepted_ones(many: PredictionChanges) -> None:
    changes = _values(many)
    assert {name: changes[name] for name in ("unchanged", "moved", "relabelled", "deleted")} == {
        "unchanged": 3 / 5,
        "moved": 1 / 5,
        "relabelled": 0,
        "deleted": 1 / 5,
    }
    assert changes["added"] == 1 / 5
    # A kept one of 30 in 42 pixels, and three as they were.
    assert changes["iou"] == pytest.approx((3 + 30 / 42) / 4)
    assert changes["seconds"] == pytest.approx((12.5 + 20 + 30) / 3)


def test_classes_and_model_versions_have_their_own(many: PredictionChanges) -> None:
    assert _values(many, "label", "scratch")["deleted"] == 1 / 2
    assert _values(many, "model_version", "nano-2")["unchanged"] == 1
    assert _values(many, "model_version", "nano-2")["added"] == 1 / 2
    table = summary(many)
    of_all = table[(table["by"] == "all") & (table["metric"] == "unchanged")].iloc[0]
    assert (of_all["objects"], of_all["images"]) == (5, 3)
    assert of_all["low"] < of_all["value"] < of_all["high"]


def test_images_without_any_region_make_no_rows_and_no_error(tmp_path: Path) -> None:
    changes = _read(tmp_path, _task([_prediction()], _annotation()))
    assert changes.regions.empty
    assert _values(changes) == {"seconds": 12.5}


def test_a_report_tells_the_shares_first(many: PredictionChanges, tmp_path: Path) -> None:
    words = write_changes_report(many, tmp_path / "export.json", tmp_path / "out")
    assert " ".join(words.lead[0].split()).startswith("Of 5 predicted regions on 3 images, people left 60 % [")
    assert any("may not have looked" in sentence for sentence in words.cautions)
    assert any("1 annotation came in bulk" in sentence for sentence in words.cautions)
    page = (tmp_path / "out" / "report.html").read_text()
    assert words.lead[0] in page
    assert " ".join(words.lead[0].split()) in (tmp_path / "out" / "report.md").read_text()
    assert "By how annotations were begun" in page
    files = {"accepted.csv", "accepted.parquet", "broken.csv", "report.html", "report.md"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files


def test_names_in_an_export_are_no_markup(tmp_path: Path) -> None:
    shown = _prediction(_brush(FIRST, "a", "<b>|x"), version="<script>")
    changes = _read(tmp_path, _task([shown], _annotation(_brush(FIRST, "a", "<b>|x"))))
    write_changes_report(changes, tmp_path / "export.json", tmp_path / "out")
    assert "<script>" not in (tmp_path / "out" / "report.html").read_text()
    assert "&lt;b>\\|x" in (tmp_path / "out" / "report.md").read_text()


def test_without_anything_opened_there_is_no_saving_to_tell(tmp_path: Path) -> None:
    changes = _read(tmp_path, _task([_prediction(_brush(FIRST, "a"))], _annotation(_brush(FIRST, "x"), parent=None)))
    words = write_changes_report(changes, tmp_path / "export.json", tmp_path / "out")
    assert words.lead[0].startswith("None of 1 annotation was opened")


# The command


def test_evaluate_takes_an_export_and_nothing_beside_it(tmp_path: Path) -> None:
    usable = _task([_prediction(_brush(FIRST, "a"))], _annotation(_brush(FIRST, "a")))
    _read(tmp_path, usable, _task([7], _annotation()))
    asked = ["evaluate", "--label-studio-export", str(tmp_path / "export.json"), "--out", str(tmp_path / "out")]
    printed = " ".join(CliRunner().invoke(app, asked).output.split())
    assert "Of 1 predicted region on 1 image, people left 100 %" in printed
    assert "1 task could not be used: Task 1 holds the prediction" in printed
    refused = CliRunner().invoke(app, [*asked, "--model", "nano"])
    assert isinstance(refused.exception, EvaluationError)
    assert "only --out and --seed" in str(refused.exception)
