"""What is exported is read back by every reader that knows the format, mask by mask."""

from __future__ import annotations

import numpy as np
import pytest

from export_sources import ODD_MASKS, SIZE, ListSource, mask, read, run, saved, specs
from mask_files import real_data
from sam_backend.masks import mask_iou
from sam_backend.samples import Object
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.exports.polygons import EDITABLE
from sam_evaluation.exports.source import EVERY_OBJECT, DatasetSource

FORMATS = ("coco", "coco-polygons", "yolo-seg", "voc", "png", "labelme")
BOUND = {"labelme": EDITABLE[1]}


def check(written, read_back, bound):
    assert [target.label for target in read_back] == [target.label for target in written]
    for target, other in zip(written, read_back, strict=True):
        iou = mask_iou(target.mask, other.mask)
        assert iou >= bound, iou


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize(("name", "split"), [("neu_seg", "@training"), ("magnetic_tile", "")])
def test_real_masks_come_back(tmp_path, monkeypatch, to, name, split):
    spec = DatasetSpec.parse(f"{name}:{real_data(name)}{split}")
    dataset = spec.open(EVERY_OBJECT)
    source = DatasetSource(spec)
    some = list(dataset.names())[::25]
    monkeypatch.setattr(type(dataset), "names", lambda _: some)
    monkeypatch.setattr(type(dataset), "left_out", lambda _: {})
    done = run(source, to, tmp_path / "out", share=0.7, seed=1)
    assert set(done.images) == {"train", "val"}
    assert sum(done.images.values()) == len(some)
    originals = {sample.file.stem: sample for sample in map(dataset.load, some)}
    for split in done.images:
        for each in specs(to, tmp_path / "out", split):
            samples = read(each)
            assert len(samples) == done.images[split]
            for stem, sample in samples.items():
                assert sample.file.read_bytes() == originals[stem].file.read_bytes()
                check(originals[stem].objects, sample.objects, BOUND.get(to, 1))


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("kind", ODD_MASKS)
def test_odd_masks_come_back(tmp_path, to, kind):
    objects = [Object(ODD_MASKS[kind], "dent")]
    run(ListSource([saved(tmp_path / "in" / "a.png", *objects)]), to, tmp_path / "out")
    for spec in specs(to, tmp_path / "out"):
        check(objects, read(spec)["a"].objects, BOUND.get(to, 1))


@pytest.mark.parametrize("to", FORMATS)
def test_overlapping_masks_and_an_image_without_any(tmp_path, to):
    large, small = mask(np.s_[2:30, 2:30]), mask(np.s_[10:20, 10:50])
    objects = [Object(small, "scratch"), Object(large, "dent")]
    source = ListSource([saved(tmp_path / "in" / "a.png", *objects), saved(tmp_path / "in" / "b.png", seed=1)])
    done = run(source, to, tmp_path / "out")
    seen = objects
    if to in ("voc", "png"):
        # One object a pixel: the smaller one lies on top, and that is said.
        seen = [objects[0], Object(large & ~small, "dent")]
        assert any("under a smaller mask" in sentence for sentence in done.sentences())
    for spec in specs(to, tmp_path / "out"):
        samples = read(spec)
        check(seen, samples["a"].objects, BOUND.get(to, 1))
        assert samples["b"].objects == ()


NAMES = ("Kratzer groß", "漏油", "a/b", "x: y", "crack, deep")


@pytest.mark.parametrize("to", FORMATS)
def test_names_of_other_languages_with_slashes_and_spaces_come_back(tmp_path, to):
    names = [name for name in NAMES if to not in ("voc", "png") or ":" not in name]
    objects = [Object(mask(np.s_[5 * n : 5 * n + 4, 3:20]), name) for n, name in enumerate(names)]
    image = saved(tmp_path / "in" / "line 2" / "Prüfung 01.b 1.png", *objects)
    run(ListSource([image]), to, tmp_path / "out")
    for spec in specs(to, tmp_path / "out"):
        check(objects, read(spec)["Prüfung 01.b 1"].objects, BOUND.get(to, 1))


def test_boxes_come_back(tmp_path):
    objects = [Object(one, "dent") for one in ODD_MASKS.values()]
    run(ListSource([saved(tmp_path / "in" / "a.png", *objects)]), "yolo-box", tmp_path / "out")
    boxes = DatasetSpec.parse(f"yolo:{tmp_path / 'out'}@train").open().boxes("a.png").boxes
    assert len(boxes) == len(objects)
    for drawn, target in zip(boxes, objects, strict=True):
        np.testing.assert_allclose(drawn.box, target.cropped.box, atol=1e-3)


@pytest.mark.parametrize("to", FORMATS)
def test_an_image_that_exif_turns_is_written_upright(tmp_path, to):
    height, width = SIZE
    turned = mask(np.s_[3:20, 5:9], size=(width, height))
    image = saved(tmp_path / "in" / "a.jpg", Object(turned, "dent"), exif=6)
    done = run(ListSource([image]), to, tmp_path / "out")
    assert ["image turned by EXIF" in sentence for sentence in done.sentences()] == [True]
    for spec in specs(to, tmp_path / "out"):
        sample = read(spec)["a"]
        assert sample.file.suffix == ".png"
        np.testing.assert_array_equal(sample.image, image.sample.image)
        check(image.sample.objects, sample.objects, BOUND.get(to, 1))


@pytest.mark.parametrize("to", FORMATS)
def test_an_image_of_16_bits_keeps_its_bytes(tmp_path, to):
    deep = np.random.default_rng(2).integers(0, 2**16, SIZE, np.uint16)
    image = saved(tmp_path / "in" / "a.png", Object(mask(np.s_[3:9, 5:9]), "dent"), pixels=deep)
    run(ListSource([image]), to, tmp_path / "out")
    for spec in specs(to, tmp_path / "out"):
        assert read(spec)["a"].file.read_bytes() == image.sample.file.read_bytes()
