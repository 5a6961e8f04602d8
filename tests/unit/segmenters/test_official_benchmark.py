"""The benchmark of the official models, which is made for a GPU, runs on the CPU with a small one."""

import sys
from pathlib import Path
from runpy import run_path

import pytest

pytest.importorskip("torch", reason="the extra [torch] is not installed")
pytest.importorskip("segment_anything", reason="the extra [torch] is not installed")

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "official_sam.py"


def test_each_model_has_all_values_and_the_title_says_where_they_were_measured(monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", sys.path[:])
    main = run_path(str(SCRIPT))["main"]
    measured = main(["--models", "small", "--device", "cpu", "--batch", "2", "--rounds", "1"])
    assert set(measured) == {"small"}
    assert set(measured["small"]) == {
        "images/s",
        "images/s in batches of 2",
        "click [ms]",
        "images/s, segment-anything",
        "click [ms], segment-anything",
    }
    assert all(value > 0 for value in measured["small"].values())
    assert "cpu, CPU seconds of one thread" in capsys.readouterr().out
