"""The page that compares models on data sets: its tables, figure and files, and what is not ready for it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from evaluation_rows import clicked, ious
from evaluation_run import run_of
from mask_files import HEIGHT, WIDTH, painted, save, surface
from sam_backend.errors import WeightsError
from sam_backend.progress import no_progress
from sam_backend.segmenters import WeightFolders
from sam_backend.segmenters.measuring import Cost
from sam_backend.segmenters.model_registry import known_models
from sam_evaluation import measured_models
from sam_evaluation.errors import EvaluationError
from sam_evaluation.gap_report import costs as costs_module
from sam_evaluation.gap_report import missing_models as missing_module
from sam_evaluation.gap_report.chart import models_on_datasets
from sam_evaluation.gap_report.costs import measure_costs
from sam_evaluation.gap_report.missing_models import missing_models
from sam_evaluation.gap_report.sheets import gap_sheets
from sam_evaluation.gap_report.write import write_gap_report
from sam_evaluation.report.findings import Findings

DASH = "\N{EN DASH}"
NANO = Cost("nano", "shipped", 50_000_000, 90_000_000, 250_000_000, 0.5, 120.4, 0.2, 15.2, 0.02)


@pytest.fixture
def folders(tmp_path):
    return WeightFolders(None, tmp_path / "cache")


@pytest.fixture
def run():
    nano = {"model": "nano", "version": "nano-12ab"}
    rows = [
        ious(0.8, 0.6, **nano),
        clicked([0.5, 0.6, 0.7, 0.8, 0.9, 0.95], [0.2, 0.3, 0.4, 0.5, 0.5, 0.6], count=6, **nano),
        ious(0.4, 0.2, dataset="tiles", **nano),
        ious(0.3, 0.1, model="boxfill", version="boxfill-1"),
    ]
    run = run_of(pd.concat(rows), datasets={"parts": "industrial", "tiles": "industrial"}, models=("nano", "boxfill"))
    versions = {"nano": "nano-12ab", "boxfill": "boxfill-1"}
    return replace(
        run, about={**run.about, "models": {name: {"version": version} for name, version in versions.items()}}
    )


def test_each_data_set_has_a_row_a_model_and_a_column_a_prompt(run, folders):
    quality, clicks, cost = gap_sheets(Findings.of(run), {"nano": NANO}, folders)
    assert quality.columns == ("data set", "model", "IoU with a box", "IoU after 6 clicks", "objects", "images")
    assert quality.rows == (
        ("parts", "nano", "0.700 [0.600, 0.800]", "0.775 [0.600, 0.950]", "2", "2"),
        ("parts", "boxfill", "0.200 [0.100, 0.300]", DASH, "2", "2"),
        ("tiles", "nano", "0.300 [0.200, 0.400]", DASH, "2", "2"),
    )
    # Beside NoC stands the IoU after five clicks, not after the last one.
    assert clicks.columns[2:4] == ("IoU after 5 clicks", "to IoU 0.80")
    assert clicks.rows[0][2:4] == ("0.700 [0.500, 0.900]", "5.0 [4.0, 6.0]")
    assert cost.rows == (("nano", "120", "15", "0.20", "0.02", "90", "250", "16", "Apache-2.0"),)
    for table in (quality, clicks, cost):
        assert "nano-12ab" in table.note
        assert "parts #00000001" in table.note
        assert "Seed: 3" in table.note


def test_the_figure_has_a_panel_a_protocol_and_a_point_a_model_and_data_set(run):
    chart = models_on_datasets(Findings.of(run))
    panels = [panel for panel in chart.figure.axes if panel.get_visible()]
    assert [panel.get_title() for panel in panels] == ["With a box", "After 6 clicks"]
    points = {bars.get_label(): bars.lines[0].get_ydata().tolist() for bars in panels[0].containers}
    assert points == {"nano": pytest.approx([0.7, 0.3]), "boxfill": pytest.approx([0.2])}
    (segments,) = panels[0].containers[0].lines[2]
    np.testing.assert_allclose([line[:, 1] for line in segments.get_segments()], [[0.6, 0.8], [0.2, 0.4]])


def test_the_page_cites_models_and_data_and_names_what_was_not_measured(run, folders, tmp_path):
    missing = {"sam:vit_b": "its weights (375 MB) are not here; run sam-inspect download sam:vit_b"}
    page = write_gap_report(run, tmp_path / "run", {"nano": replace(NANO, problem="was stopped")}, folders, missing)
    texts = [page.read_text(), (page.parent / "gap.md").read_text()]
    for text in texts:
        assert "sam:vit_b was not measured: its weights (375 MB) are not here" in text
        assert "The speed and memory of nano are not known: was stopped." in text
        assert "nano-12ab: The embedded model" in text
        assert "industrial images; licence: free" in text
    table = pd.read_csv(page.parent / "gap.csv", dtype={"dataset_hash": str})
    fifth = table[(table["metric"] == "iou_after_click") & (table["click"] == 5)].iloc[0]
    assert (fifth["value"], fifth["low"], fifth["high"]) == pytest.approx((0.7, 0.5, 0.9))
    assert fifth["dataset_hash"] == "00000001"
    assert {"iou", "boundary_f", "noc_0.85", "never_0.90"} <= set(table["metric"])
    assert (page.parent / "figures/gap-models.png").stat().st_size > 10_000
    assert pd.read_csv(page.parent / "costs.csv")["peak"].tolist() == [250_000_000]


def test_a_cost_that_is_known_is_not_measured_again(run, folders, tmp_path, monkeypatch):
    asked = []

    def measured(infos, _folders, images):
        assert [Image.open(file).size for file in images] == [(WIDTH, HEIGHT)] * 2
        asked.extend(info.name for info in infos)
        return iter([NANO])

    for number in range(2):
        save(tmp_path / f"images/{number:03d}.png", surface())
        save(tmp_path / f"masks/{number:03d}.png", painted(1))
    monkeypatch.setattr(costs_module, "measure", measured)
    run.about["datasets"] = {"parts": {**run.about["datasets"]["parts"], "folder": str(tmp_path)}}
    run = replace(run, objects=run.objects[run.objects["dataset"] == "parts"])
    first = measure_costs(run, tmp_path, folders, no_progress)
    assert measure_costs(run, tmp_path, folders, no_progress) == first == {"nano": NANO}
    assert asked == ["nano"]
    (tmp_path / "costs.json").write_text("damaged")
    measure_costs(run, tmp_path, folders, no_progress)
    assert asked == ["nano", "nano"]


def test_a_model_that_is_not_ready_says_what_to_do(folders, monkeypatch):
    assert missing_models(["nano", "grabcut", "boxfill"], folders) == {}
    here = {info.name: replace(info, packages=()) for info in known_models()}
    gated = here["sam3"].repository.size / 1e6
    monkeypatch.setattr(missing_module, "check_model", here.__getitem__)
    assert missing_models(["sam:vit_b", "sam3"], folders) == {
        "sam:vit_b": "its weights (375 MB) are not here; run sam-inspect download sam:vit_b",
        "sam3": f"its weights ({gated:,.0f} MB) are not here; run sam-inspect download sam3 --accept-licence",
    }
    here["nano"] = replace(here["nano"], packages=("no_such_package",), install="pip install it")
    assert missing_models(["nano"], folders) == {"nano": "it needs no_such_package; run pip install it"}
    monkeypatch.setattr(missing_module, "check_model", measured_models.check_model)
    with pytest.raises(EvaluationError, match="did you mean nano"):
        missing_models(["nanno"], folders)


def test_a_folder_of_onnx_files_is_a_model(tmp_path):
    with pytest.raises(WeightsError, match="holds no exported model"):
        measured_models.check_model(f"onnx:{tmp_path}")
