"""Every segmenter of this project, and the one in the documentation, keeps the contract of segmenters."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sam_backend.segmenters.contract import SegmenterContract
from sam_backend.segmenters.entries import OWN
from sam_backend.segmenters.focus import Focused
from sam_backend.segmenters.grabcut import GrabCutSegmenter
from sam_backend.segmenters.nano.segmenter import NanoSegmenter
from sam_evaluation.baselines import Felzenszwalb, FilledBox

GUIDE = Path(__file__).parents[2] / "docs" / "models" / "own.md"


def small_sam():
    pytest.importorskip("torch", reason="the extra [torch] is not installed")
    pytest.importorskip("segment_anything", reason="the extra [torch] is not installed")
    from sam_backend.segmenters.sam import SamSegmenter
    from small_sam import small_sam

    info = replace(OWN["sam:vit_b"], name="sam:small")
    return SamSegmenter(small_sam(side=256), info, version="sam:small-0", device="cpu")


def focused_nano():
    return Focused(NanoSegmenter(threads=1), least_magnification=1)


class TestOwnSegmenters(SegmenterContract):
    @pytest.fixture(
        params=[
            lambda: NanoSegmenter(threads=1),
            pytest.param(focused_nano, marks=pytest.mark.slow),
            GrabCutSegmenter,
            FilledBox,
            Felzenszwalb,
            pytest.param(small_sam, marks=pytest.mark.slow),
        ],
        ids=["nano", "nano, second look", "grabcut", "boxfill", "felzenszwalb", "sam"],
    )
    def make_segmenter(self, request):
        return request.param


def run_contract(folder, name):
    plugin = "sam_backend.segmenters.contract_plugin"
    command = [sys.executable, "-m", "pytest", "-q", "-p", plugin, "-p", "no:cacheprovider", "--segmenter", name]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_the_model_in_the_guide_is_short_and_keeps_the_contract(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 40
    (tmp_path / "brightness.py").write_text(code)
    done = run_contract(tmp_path, "brightness:BrightnessSegmenter")
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


@pytest.mark.slow
def test_a_model_that_breaks_the_contract_fails_it(tmp_path):
    (tmp_path / "broken.py").write_text(
        "from sam_evaluation.baselines import FilledBox\n"
        "class Broken(FilledBox):\n"
        "    def encode(self, image):\n"
        "        return super().encode(image.transpose(1, 0, 2))\n"
    )
    done = run_contract(tmp_path, "broken:Broken")
    assert done.returncode == 1
    assert "test_an_embedding_is_plain_arrays_and_knows_the_images_size" in done.stdout


@pytest.mark.slow
def test_a_name_that_cannot_be_imported_is_reported(tmp_path):
    done = run_contract(tmp_path, "nowhere:Model")
    assert done.returncode != 0
    assert "--segmenter takes package.module:Name; 'nowhere:Model'" in done.stdout + done.stderr
