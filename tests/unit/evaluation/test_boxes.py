"""The boxes of an evaluation have the scores of a plain COCOeval on the same files."""

import io
import json
from contextlib import redirect_stdout

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sam_evaluation.box_tables import box_table
from sam_evaluation.errors import EvaluationError
from sam_evaluation.metrics.coco_boxes import Boxes, box_scores
from sam_evaluation.prediction_files import Predictions
from sam_evaluation.report.write import write_report
from sam_evaluation.run_files import load_run
from sam_evaluation.run_plan import RunSettings
from sam_evaluation.runner import evaluate

STATS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100")
SIZE = (160, 200)


def rectangle(box):
    mask = np.zeros(SIZE, bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Objects of all sizes in the format of COCO, and probabilities that find most of them, not quite, and more."""
    folder, rng = tmp_path_factory.mktemp("boxes"), np.random.default_rng(0)
    images, annotations = [], []
    (folder / "found").mkdir()
    (folder / "data" / "images").mkdir(parents=True)
    for number in range(12):
        name = f"{number}.png"
        Image.fromarray(rng.integers(0, 255, (*SIZE, 3), np.uint8)).save(folder / "data" / "images" / name)
        images.append({"id": number + 1, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        found = np.zeros(SIZE, np.float32)
        # Each object has a column of its own, so that no two touch.
        for column, side in enumerate((12, 40, 100)) if number else ():
            left, top = (4, 22, 80)[column], int(rng.integers(2, SIZE[0] - side - 4))
            low, high = np.array([left, top]), np.array([left + side, top + side])
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number + 1,
                    "category_id": 1 + column % 2,
                    "bbox": [left, top, side, side],
                    "area": side * side,
                    "iscrowd": 0,
                    "segmentation": [[left, top, left + side, top, left + side, top + side, left, top + side]],
                }
            )
            if rng.random() < 0.8:
                off = rng.integers(-side // 8, side // 8 + 1, 4)
                box = np.clip([*(low + off[:2]), *(high + off[2:])], 0, [SIZE[1], SIZE[0]] * 2)
                found[rectangle(box)] = rng.uniform(0.5, 1)
        if rng.random() < 0.5:
            found[150:158, 186:194] = rng.uniform(0.5, 1)
        np.save(folder / "found" / f"{number}.npy", found)
    categories = [{"id": 1, "name": "pit"}, {"id": 2, "name": "scratch"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "data" / "instances.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def run(folders, tmp_path_factory):
    predictions = Predictions(folders / "found")
    out = tmp_path_factory.mktemp("run")
    settings = RunSettings("everything", boxes=True)
    evaluate([], [f"coco:{folders / 'data'}"], out=out, predictions=[predictions], settings=settings)
    return out


def plain_stats(truth_file, results, use_categories):
    """Return the nine numbers that COCOeval gives for files of COCO."""
    with redirect_stdout(io.StringIO()):
        truth = COCO(truth_file)
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.params.useCats = int(use_categories)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:9]


def test_the_scores_are_those_of_cocoeval_on_the_same_files(folders, run):
    loaded = load_run(run)
    table = box_table(loaded.boxes, loaded.images)
    found = loaded.boxes[~loaded.boxes["is_object"]]
    results = [
        {
            "image_id": int(row.sample.removesuffix(".png")) + 1,
            "category_id": 1,
            "bbox": [row.left, row.top, row.right - row.left, row.bottom - row.top],
            "score": row.score,
        }
        for row in found.itertuples()
    ]
    values = dict(zip(table["metric"], table["value"], strict=True))
    plain = plain_stats(folders / "data" / "instances.json", results, use_categories=False)
    assert [values[f"box_{name}"] for name in STATS] == plain.tolist()
    assert 0 < values["box_ap"] < values["box_ap50"] < 1
    assert set(table["images"]) == {12}


def test_average_recall_has_an_interval_around_it(run):
    loaded = load_run(run)
    table = box_table(loaded.boxes, loaded.images).set_index("metric")
    recall = table.loc["box_ar100"]
    assert recall["low"] < recall["value"] < recall["high"]
    assert np.isnan(table.loc["box_ap", "low"])


def test_the_report_and_the_summary_have_the_boxes(run):
    write_report(load_run(run), run)
    summary = pd.read_csv(run / "summary.csv")
    assert {f"box_{name}" for name in STATS} <= set(summary["metric"])
    assert "AP50" in (run / "report.md").read_text()


def test_classes_count_where_all_proposals_have_one():
    """A box of another class finds nothing; COCO takes the mean over the classes."""
    box = {"left": 10, "top": 10, "right": 30, "bottom": 30, "area": 400, "sample": "a.png", "score": 0.9}
    cell = {"model": "m", "version": "v", "dataset": "d", "protocol": "everything"}
    rows = [
        {**cell, **box, "is_object": True, "label": "pit"},
        {**cell, **box, "is_object": True, "label": "stain", "left": 50, "right": 70},
        {**cell, **box, "is_object": False, "label": "pit"},
        {**cell, **box, "is_object": False, "label": "pit", "left": 50, "right": 70},
    ]
    images = pd.DataFrame([{**cell, "sample": "a.png"}])
    by_class = box_table(pd.DataFrame(rows), images).set_index("metric")["value"]
    assert by_class["box_ap"] == pytest.approx(0.5)
    without = box_table(pd.DataFrame(rows).assign(label=[*("pit", "stain"), None, None]), images)
    assert without.set_index("metric")["value"]["box_ap"] == pytest.approx(1)


def test_what_has_no_object_or_no_proposal_has_no_value_or_0():
    none = Boxes(*(np.zeros(0, np.int64),) * 2, np.zeros((0, 4)), *(np.zeros(0),) * 2)
    one = Boxes(*(np.zeros(1, np.int64),) * 2, np.array([[2.0, 2, 9, 9]]), np.array([49.0]), np.array([0.5]))
    assert np.isnan(list(box_scores(none, one, 2).values.values())).all()
    missed = box_scores(one, none, 2)
    assert (missed.values["ap"], missed.values["ar100"], missed.objects.tolist()) == (0, 0, [1, 0])


def test_boxes_need_a_protocol_without_prompts(folders, tmp_path):
    with pytest.raises(EvaluationError, match="Boxes are scored for everything, text, exemplar; add one of them"):
        evaluate(["boxfill"], [f"coco:{folders / 'data'}"], out=tmp_path, settings=RunSettings("box", boxes=True))
