"""An evaluation of data on a store, written to a store, is the one of a disk."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from colour_segmenter import write_surfaces
from export_sources import ListSource, mask, saved, specs
from export_sources import run as export
from sam_backend.errors import BrokenSampleError, StoreError
from sam_backend.files import whole_file
from sam_backend.samples import Object
from sam_backend.stores import StorePath, place
from sam_evaluation import RunSettings, evaluate
from sam_evaluation.datasets.image_finder import ImageFinder
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.errors import EvaluationError
from sam_evaluation.exports.source import EVERY_OBJECT
from sam_evaluation.prediction_files import Predictions
from sam_evaluation.report.write import write_report
from sam_evaluation.run_files import load_model_of_run, load_run

SETTINGS = RunSettings("box,click", limit=8)


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return write_surfaces(tmp_path / "data")


def test_rows_and_report_are_those_of_a_disk(data, tmp_path, s3):
    stored, out = s3.upload(data, "data"), place(f"{s3.address}/runs/a")
    models = ["boxfill", "felzenszwalb"]
    local = evaluate(models, [f"masks:{data}"], out=tmp_path / "run", settings=SETTINGS)
    remote = evaluate(models, [f"masks:{stored}"], out=out, settings=SETTINGS)
    again = load_run(out)
    for run in (remote, again):
        pd.testing.assert_frame_equal(run.objects, local.objects)
    of_one = load_model_of_run(f"{out}@boxfill").objects
    pd.testing.assert_frame_equal(of_one, local.objects[local.objects["model"] == "boxfill"])
    assert remote.about["datasets"]["masks"] == {**local.about["datasets"]["masks"], "folder": stored}
    write_report(local, tmp_path / "run")
    for _ in range(2):
        assert str(write_report(again, out)) == f"{out}/report.html"
    written = s3.files("runs/a/")
    on_disk = {path.relative_to(tmp_path / "run").as_posix(): path for path in (tmp_path / "run").rglob("*.*")}
    assert {name for name in written if "parts/" not in name} == {name for name in on_disk if "parts/" not in name}
    assert written["summary.csv"] == on_disk["summary.csv"].read_bytes()
    figures = [name for name in written if name.startswith("figures/")]
    assert len(figures) > 3
    assert all(written[name] == on_disk[name].read_bytes() for name in figures)


def test_an_interrupted_run_does_the_rest_only(data, s3, monkeypatch):
    stored, out = s3.upload(data, "data"), place(f"{s3.address}/run")
    read = StorePath.read_bytes
    images = []

    def failing(self):
        if self.parent.name == "images":
            images.append(self.name)
            if len(images) == 6:
                raise StoreError("The store does not answer.")
        return read(self)

    monkeypatch.setattr(StorePath, "read_bytes", failing)
    with pytest.raises(StoreError, match="does not answer"):
        evaluate(["boxfill"], [f"masks:{stored}"], out=out, settings=SETTINGS)
    with pytest.raises(EvaluationError, match="no finished run"):
        load_run(out)
    # A store that fails is no image that is broken: nothing of the second part is kept.
    assert len(s3.files("run/")) == 1
    again = evaluate(["boxfill"], [f"masks:{stored}"], out=out, settings=SETTINGS)
    assert images == ["00.png", "02.png", "04.png", "06.png", "08.png", "10.png", *images[4:6], "12.png", "14.png"]
    assert not len(again.broken)


@pytest.mark.slow
def test_processes_share_a_run_on_a_store(data, s3):
    stored = s3.upload(data, "data")
    one, two = (
        evaluate(["boxfill"], [f"masks:{stored}"], out=place(f"{s3.address}/{jobs}"), settings=SETTINGS, jobs=jobs)
        for jobs in (1, 2)
    )
    pd.testing.assert_frame_equal(one.objects, two.objects)


@pytest.mark.parametrize("to", ["coco", "yolo-seg", "voc", "png", "labelme"])
def test_each_kind_of_reader_reads_from_a_store_what_it_reads_from_a_disk(tmp_path, s3, to):
    objects = [Object(mask(np.s_[2:30, 2:20]), "dent"), Object(mask(np.s_[5:9, 30:50]), "scratch")]
    images = [saved(tmp_path / "in" / f"{name}.png", *objects, seed=seed) for seed, name in enumerate(("a 1", "é"))]
    export(ListSource(images), to, tmp_path / "out")
    s3.upload(tmp_path / "out", "set")
    pairs = zip(specs(to, tmp_path / "out"), specs(to, f"{s3.address}/set"), strict=True)
    for local, stored in (
        (DatasetSpec.parse(one).open(EVERY_OBJECT), DatasetSpec.parse(two).open(EVERY_OBJECT)) for one, two in pairs
    ):
        assert list(stored.names()) == list(local.names())
        assert stored.left_out() == local.left_out()
        assert stored.notes() == local.notes()
        for name in local.names():
            one, two = local.load(name), stored.load(name)
            np.testing.assert_array_equal(two.image, one.image)
            assert [each.label for each in two.objects] == [each.label for each in one.objects]
            np.testing.assert_array_equal([each.mask for each in two.objects], [each.mask for each in one.objects])


def test_a_data_set_cannot_reach_into_the_rest_of_the_bucket(s3):
    s3.put("set/images/a.png", b"")
    s3.put("private/b.png", b"")
    root = place(f"{s3.address}/set")
    finder = ImageFinder(root, (root / "images", root))
    assert finder.find("a.png") == (root / "images" / "a.png", "")
    with pytest.raises(BrokenSampleError, match="outside of the data set's folder"):
        finder.find("../../private/b.png")


@pytest.mark.parametrize("suffix", ["png", "npy", "npz"])
def test_predictions_are_read_from_a_store(data, tmp_path, s3, suffix):
    for path in (data / "masks").iterdir():
        pixels = (np.asarray(Image.open(path)) > 0).astype(np.float32)
        with whole_file(tmp_path / "unet" / f"{path.stem}.{suffix}", private=False) as file, file.open("wb") as content:
            if suffix == "png":
                Image.fromarray((pixels * 255).astype(np.uint8)).save(content, "PNG")
            else:
                (np.save if suffix == "npy" else np.savez)(content, pixels)
    folders = tmp_path / "unet", place(s3.upload(tmp_path / "unet", "unet"))
    runs = [
        evaluate(
            [],
            [f"masks:{data}"],
            out=tmp_path / str(place),
            predictions=[Predictions(folder)],
            settings=RunSettings("everything", boxes=True),
        )
        for place, folder in enumerate(folders)
    ]
    pd.testing.assert_frame_equal(runs[0].objects, runs[1].objects)
    pd.testing.assert_frame_equal(runs[0].boxes, runs[1].boxes)
    assert runs[1].objects["iou"].min() > 0.9
