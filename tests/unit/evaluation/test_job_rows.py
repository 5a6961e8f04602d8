"""Jobs that travel to another machine are measured there as here, or refused."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mask_files import save
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.datasets.sample_files import max_pixels
from sam_evaluation.errors import EvaluationError
from sam_evaluation.job_rows import MeasureJobs, for_elsewhere
from sam_evaluation.run_plan import RunSettings, plan_run


@pytest.fixture(autouse=True)
def _limit(monkeypatch):
    """Whoever measures for another machine sets the limit of its own process."""
    monkeypatch.setenv("SAM_INSPECT_MAX_IMAGE_PIXELS", "")
    max_pixels.cache_clear()
    yield
    max_pixels.cache_clear()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    mask = np.zeros((40, 60), np.uint8)
    mask[5:15, 5:20] = 255
    save(tmp_path / "data" / "images" / "0.png", 60 + mask // 2)
    save(tmp_path / "data" / "masks" / "0.png", mask)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


@pytest.fixture
def jobs(folder, tmp_path):
    _, plan, _ = plan_run(
        ["boxfill"], [], [DatasetSpec.parse("masks:data")], tmp_path / "run", RunSettings("box"), None, None, 1
    )
    return [for_elsewhere(job) for job in plan]


def test_another_process_gives_the_same_rows_whatever_its_folder(jobs, folder, tmp_path, monkeypatch):
    measure = MeasureJobs.of(jobs, {"boxfill": "boxfill-1"})
    here = measure(jobs)
    assert [row["kind"] for row in here[0]] == ["read", "object"]
    sent = pickle.dumps((measure.elsewhere(), jobs))
    monkeypatch.chdir("/")
    elsewhere, arrived = pickle.loads(sent)
    for rows, expected in zip(elsewhere(1)(arrived), here, strict=True):
        pd.testing.assert_frame_equal(pd.DataFrame(rows), pd.DataFrame(expected))


def test_other_files_or_weights_are_refused(jobs, folder):
    measure = MeasureJobs.of(jobs, {"boxfill": "boxfill-1"})
    with pytest.raises(EvaluationError, match=r"its model is boxfill-1, and boxfill-2 is asked for; put the same"):
        replace(measure, versions={"boxfill": "boxfill-2"}).elsewhere()(1)(jobs)
    with pytest.raises(EvaluationError, match=f"has not the same files in {folder}; let all machines share it"):
        replace(measure, fingerprints={jobs[0].dataset: "another"}).elsewhere()(1)(jobs)


def test_the_largest_image_is_that_of_the_machine_that_asks(jobs, monkeypatch):
    monkeypatch.setattr("sam_evaluation.job_rows.max_pixels", lambda: 1000)
    ((row,),) = MeasureJobs.of(jobs, {"boxfill": "boxfill-1"}).elsewhere()(1)(jobs)
    assert "60 x 40 pixels; at most 1,000 are taken" in row["reason"]


def test_what_a_worker_lacks_is_said_with_its_name(jobs, folder):
    measure = MeasureJobs.of(jobs, {"boxfill": "boxfill-1"})
    large = [replace(job, model="sam:vit_b", checkpoint=folder / "no.pth") for job in jobs]
    with pytest.raises(EvaluationError, match=r"^The worker \S+ cannot work: .*no\.pth"):
        measure.elsewhere()(1)(large)


def test_a_data_set_that_a_worker_lacks_is_said_with_its_name(jobs, folder):
    measure = MeasureJobs.of(jobs, {"boxfill": "boxfill-1"})
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(EvaluationError, match=rf"^The worker \S+ cannot work: it has not the same files in {folder}; "):
        measure.elsewhere()(1)(jobs)
