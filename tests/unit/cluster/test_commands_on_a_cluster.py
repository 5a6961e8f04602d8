"""Commands with --cluster: a machine is lost half way, a run is stopped and repeated, and the results are the same."""

from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from mask_files import save
from sam_backend.cluster.connection import open_workers
from sam_backend.core.warm_counts import WarmCounts
from sam_backend.core.warming import Warming
from sam_backend.errors import SamInspectError
from sam_backend.progress import no_progress
from sam_backend.segmenters.image_folder import images_in
from sam_backend.segmenters.model_registry import model_info
from sam_backend.settings import Settings
from sam_inspect.main import app
from squares_project import taught_project

pytestmark = pytest.mark.slow
# Enough that the machine which is lost has some under way.
IMAGES = 12


@pytest.fixture
def folder(tmp_path):
    """Images with a dark square, each at another place, and one that is broken."""
    for number in range(IMAGES):
        pixels = np.full((64, 80, 3), 200, np.uint8)
        pixels[16:40, 5 * number : 5 * number + 24] = 40
        save(tmp_path / "images" / f"{number:02}.png", pixels)
    (tmp_path / "images" / "04b.png").write_bytes(b"no image")
    return tmp_path / "images"


@pytest.fixture
def typed(monkeypatch, nodes):
    """A function that runs a command; `at` is called with the steps that are done."""
    nodes.replace()

    def run(*words, at=lambda done: None, code=0):
        @contextmanager
        def bars():
            yield lambda description: lambda done, total, doing="", /: at(done)

        monkeypatch.setattr(f"sam_inspect.{MODULES.get(words[0], words[0])}.progress_bars", bars)
        result = CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "200"})
        if isinstance(result.exception, SamInspectError):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.output

    return run


MODULES = {"evaluate": "evaluation", "preannotate": "memory_commands"}


def half_way(steps, act):
    """Return a function that acts once, when so many steps are done."""
    acted = []

    def at(done):
        if done >= steps and not acted:
            acted.append(done)
            act()

    return at


def stop():
    raise KeyboardInterrupt


def contents(out):
    """Return the content of every result; a part names the time of its image."""
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.parent.name != "parts")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def test_everything_on_a_store_is_the_same_after_a_stop_and_with_a_machine_lost(folder, tmp_path, typed, nodes, s3):
    options = ("--points-per-side", 4)
    typed("everything", "--images", folder, "--out", tmp_path / "here", *options)
    assert len(contents(tmp_path / "here")) > 4 * IMAGES
    words = ("everything", "--images", s3.upload(folder, "images"), "--out", f"{s3.address}/out", *options)
    typed(*words, "--cluster", nodes.address, at=half_way(3, stop), code=130)
    assert len(s3.files("out/parts")) == 3
    typed(*words, "--cluster", nodes.client_address, at=half_way(4, nodes.lose_one))
    there = {name: file for name, file in s3.files("out").items() if not name.startswith("parts/")}
    assert there == contents(tmp_path / "here")


@pytest.fixture
def data(tmp_path):
    """Eight jobs of images with two objects each, as a data set of masks."""
    for number in range(32):
        mask = np.zeros((40, 60), np.uint8)
        mask[5:15, 5 + number : 20 + number] = 255
        mask[25:35, 30:50] = 255
        save(tmp_path / "data" / "images" / f"{number:02}.png", 60 + mask // 2)
        save(tmp_path / "data" / "masks" / f"{number:02}.png", mask)
    return tmp_path / "data"


def rows(run):
    return pd.read_parquet(run / "objects.parquet"), pd.read_parquet(run / "images.parquet")


def assert_same(run, other):
    for table, expected in zip(rows(run), rows(other), strict=True):
        pd.testing.assert_frame_equal(table, expected)


def test_an_evaluation_is_the_same_with_a_machine_lost(data, tmp_path, typed, nodes, monkeypatch):
    monkeypatch.setattr("sam_inspect.evaluation.write_and_print_report", lambda *_: None)
    words = ("evaluate", "--data", f"masks:{data}", "--model", "nano", "--model", "boxfill")
    words += ("--protocol", "box,click", "--out")
    typed(*words, tmp_path / "here", "--jobs", 1)
    typed(*words, tmp_path / "lost", "--cluster", nodes.address, at=half_way(8, nodes.lose_one))
    assert_same(tmp_path / "lost", tmp_path / "here")


def test_the_gap_of_models_is_the_same_on_a_cluster(data, tmp_path, typed, nodes):
    words = ("gap", "--data", f"masks:{data}", "--models", "boxfill", "--protocol", "box", "--out")
    typed(*words, tmp_path / "here", "--jobs", 1)
    typed(*words, tmp_path / "there", "--cluster", nodes.address)
    assert_same(tmp_path / "there", tmp_path / "here")
    assert (tmp_path / "there" / "gap.html").exists()


def test_pre_annotation_is_the_same_with_a_machine_lost(tmp_path, nodes):
    nodes.replace()
    work = taught_project(Settings(), tmp_path)
    here = work.pre_annotate(no_progress)
    expected, work.project.predictions = work.project.predictions, []
    lose = half_way(2, nodes.lose_one)
    with open_workers(nodes.address, [work.segmenter.info], Settings()) as workers:
        elsewhere = work.pre_annotate(lambda done, total, doing="", /: lose(done), workers)
    assert work.project.predictions == expected
    assert elsewhere == here


def warm(folder, cache, at=lambda done: None, address=None):
    """Warm a cache; return the counts, and what the cache then has of each image, by its name."""
    settings, counts = Settings(cache=cache), WarmCounts()
    info = model_info("nano")
    files = images_in(folder)
    with open_workers(address, [info], settings) as workers, Warming.open(settings, "nano", None) as warming:
        try:
            warming.warm_files(files, counts, lambda done, total, doing="", /: at(done), workers)
        except KeyboardInterrupt:
            return counts, {}
        contents = {file.name: file.read_bytes() for file in files if file.name != "04b.png"}
        kept = {name: warming.embeddings.fetch_file(warming.segmenter, file, name) for name, file in contents.items()}
    return counts, {name: one.embedding.arrays for name, one in kept.items()}


def test_a_cache_is_the_same_after_a_stop_and_with_a_machine_lost(folder, tmp_path, nodes):
    nodes.replace()
    _, here = warm(folder, tmp_path / "here")
    counts, _ = warm(folder, tmp_path / "there", half_way(3, stop), nodes.address)
    assert counts.encoded == 3
    counts, there = warm(folder, tmp_path / "there", half_way(4, nodes.lose_one), nodes.client_address)
    assert (counts.known, counts.encoded, counts.failed) == (3, IMAGES - 3, 1)
    np.testing.assert_equal(there, here)
