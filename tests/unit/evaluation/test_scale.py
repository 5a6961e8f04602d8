"""The time and price of a million images, computed by hand."""

import sys
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "scale.py"
UNITS = {"read": 0.001, "decode": 0.02, "encode": 0.08, "search": 5.0, "draw": 0.9, "write": 0.004, "wait": 0.02}
UNITS |= {"file bytes": 1e6, "result bytes": 2e6}


@pytest.fixture(scope="module")
def scale():
    before = sys.path[:]
    yield run_path(str(SCRIPT))
    sys.path[:] = before


def hours(scale, workers, gpu_seconds=None, **options):
    options = SimpleNamespace(count=1_000_000, busy=0.9, megabytes=500.0, driver_wait=0.0, **options)
    seconds = scale["seconds_of"]("everything", UNITS, gpu_seconds)
    return scale["hours"](options, workers, *seconds, scale["megabytes_of"]("everything", UNITS))


def test_few_cores_are_bound_by_their_work_and_many_by_the_driver(scale):
    # 0.02 + 0.08 + 5 + 0.9 = 6 s of a core.
    assert hours(scale, 64) == (pytest.approx(1e6 * 6 / (64 * 0.9) / 3600), "workers")
    # 0.001 + 0.004 + 0.02 s of the driver.
    assert hours(scale, 512) == (pytest.approx(1e6 * 0.025 / 3600), "driver")


def test_a_gpu_adds_its_seconds_to_those_of_its_host(scale):
    assert hours(scale, 8, gpu_seconds=0.4) == (pytest.approx(1e6 * (0.4 + 0.92) / (8 * 0.9) / 3600), "workers")


def test_what_the_store_gives_bounds_the_rest(scale):
    slow = SimpleNamespace(count=3600, busy=1.0, megabytes=1.0, driver_wait=0.5)
    assert scale["hours"](slow, 8, 1.0, 0.1, 3.0) == (pytest.approx(3.0), "store")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--gpu-seconds", "dream=1"), "one of warm, preannotate, everything is expected before '='; got dream=1"),
        (("--gpu-seconds", "warm=nan"), "a number is expected, none below 0; got nan"),
        (("--gpu-seconds", "warm="), "a number is expected, none below 0; got nothing"),
        (("--busy", "0"), "a number above 0 is expected; got 0"),
        (("--gpus", "0"), "a whole number from 1 on is expected; got 0"),
        (("--images", "nowhere"), "scale.py: nowhere should be a folder with images; there is no such folder."),
    ],
)
def test_a_mistake_is_one_sentence(scale, capsys, monkeypatch, words, sentence):
    monkeypatch.setattr(sys, "argv", ["scale.py", *words])
    with pytest.raises(SystemExit) as left:
        scale["main"]()
    assert sentence in f"{capsys.readouterr().err}{left.value}"
