"""The folder of an export: whole or absent, with names that differ, divided in the same way each time."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from filelock import FileLock

from export_sources import ListSource, mask, run, saved
from sam_backend.samples import Object, Sample
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.errors import EvaluationError
from sam_evaluation.exports.names import FileNames
from sam_evaluation.exports.registry import known_formats
from sam_evaluation.exports.source import DatasetSource, SourceImage
from sam_evaluation.exports.split import Split

DENT = Object(mask(np.s_[2:30, 2:30]), "dent")


@pytest.mark.parametrize("to", [card.name for card in known_formats()])
def test_an_interrupted_export_leaves_nothing_and_the_next_one_is_whole(tmp_path, to):
    image = saved(tmp_path / "in" / "a.png", DENT)
    with pytest.raises(KeyboardInterrupt):
        run(ListSource([image, KeyboardInterrupt()]), to, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert run(ListSource([image]), to, tmp_path / "out").masks == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_what_was_fetched_stays_for_the_next_run_and_is_moved_into_the_export(tmp_path):
    class Fetched(ListSource):
        def images(self, fetched, tally, progress):
            if not (fetched / "x.png").exists():
                yield saved(fetched / "x.png", DENT)
                raise KeyboardInterrupt
            yield saved(fetched / "x.png", DENT)

    with pytest.raises(KeyboardInterrupt):
        run(Fetched([]), "coco", tmp_path / "out")
    assert (tmp_path / "out.part" / "fetched" / "x.png").is_file()
    assert not (tmp_path / "out").exists()
    run(Fetched([]), "coco", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_killed_export_is_begun_anew(tmp_path):
    (tmp_path / "out.part" / "whole" / "images").mkdir(parents=True)
    (tmp_path / "out.part" / "whole" / "images" / "half.png").write_bytes(b"half")
    run(ListSource([saved(tmp_path / "in" / "a.png", DENT)]), "coco", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "images").iterdir()] == ["a.png"]
    assert not (tmp_path / "out.part").exists()


def test_two_exports_to_one_folder_do_not_mix(tmp_path):
    (tmp_path / "out.part" / "whole").mkdir(parents=True)
    with FileLock(tmp_path / "out.part" / "lock"), pytest.raises(EvaluationError, match="Another export"):
        run(ListSource([saved(tmp_path / "in" / "a.png", DENT)]), "coco", tmp_path / "out")
    assert (tmp_path / "out.part" / "whole").is_dir()


def test_a_folder_that_holds_something_or_lies_in_the_data_is_refused(tmp_path):
    image = saved(tmp_path / "in" / "a.png", DENT)
    with pytest.raises(EvaluationError, match="exists and is no empty folder"):
        run(ListSource([image]), "coco", tmp_path / "in")
    run(ListSource([image]), "png", tmp_path / "out")
    source = DatasetSource(DatasetSpec.parse(f"masks:{tmp_path}/out/train"))
    with pytest.raises(EvaluationError, match="lies within the data set"):
        run(source, "coco", tmp_path / "out" / "train" / "new")
    (tmp_path / "empty").mkdir()
    assert run(source, "coco", tmp_path / "empty").masks == 1


def test_a_source_without_images_says_what_was_left_out(tmp_path):
    with pytest.raises(EvaluationError, match="the list has no image that can be exported"):
        run(ListSource([]), "coco", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_images_of_one_name_get_different_ones(tmp_path):
    places = ("line1/a.png", "line2/A.png", "line2/a.jpg", "line3/b.png", "line3/classes.png")
    images = [saved(tmp_path / "in" / place, DENT, seed=n) for n, place in enumerate(places)]
    run(ListSource(images), "yolo-seg", tmp_path / "out")
    written = sorted(path.name for path in (tmp_path / "out" / "images" / "train").iterdir())
    assert written == ["a.png", "a_2.jpg", "b.png", "classes_.png", "line2_A.png"]
    labels = sorted(path.stem for path in (tmp_path / "out" / "labels" / "train").iterdir())
    assert labels == sorted(name.rpartition(".")[0] for name in written)


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("/data/upload/3/1a2b3c4d-Teil_1.png", "Teil_1"),
        ("/data/local-files/?d=line%201/frame.png", "frame"),
        ("C:\\parts\\a.b.png", "a.b"),
        ("https://host/x/%C3%BC.png?token=1", "ü"),
        ("what?<>|.png", "what____"),
        ("u\u0308.png", "ü"),
        ("nul.png", "nul_"),
        ("...png", "image"),
        ("", "7"),
        ("x" * 300 + ".png", "x" * 200),
    ],
)
def test_file_names_are_good_on_every_system(path, stem):
    assert FileNames().stem(path, "7") == stem


def test_a_name_that_is_taken_gets_its_key_or_its_folder_or_a_number():
    names = FileNames()
    taken = [("a/x.png", ""), ("b/X.png", ""), ("b/x.jpg", ""), ("c/x.png", "12"), ("c/x.jpg", "12")]
    assert [names.stem(path, key) for path, key in taken] == ["x", "b_X", "x_2", "x_12", "x_3"]


def test_a_split_is_that_of_the_groups_whatever_comes_later():
    groups = [f"task {number}" for number in range(400)]
    split = Split(0.8, 0)
    sides = {group: split.side(group, group.encode()) for group in groups}
    assert 0.75 < sum(side == "train" for side in sides.values()) / 400 < 0.85
    more = Split(0.8, 0)
    assert {group: more.side(group, b"%d" % n) for n, group in enumerate(["new", *groups])} | sides == {
        **sides,
        "new": more.side("new", b""),
    }
    other = Split(0.8, 1)
    assert {group: other.side(group, group.encode()) for group in groups} != sides


def test_images_of_one_task_and_equal_images_stay_on_one_side():
    split = Split(0.5, 0)
    for number in range(50):
        first = split.side(f"{number}", b"page %d" % number)
        # Also a page that is in another task, on whichever side.
        assert split.side(f"{number}", b"page %d" % (number // 2)) == first
        assert split.side(f"copy of {number}", b"page %d" % number) == first


def test_what_is_left_out_is_counted_in_a_file(tmp_path):
    image = saved(tmp_path / "in" / "a.png", DENT, Object(DENT.mask, "dent", annotator=1))
    done = run(ListSource([image]), "coco", tmp_path / "out")
    assert done.sentences() == [
        f"1 left out: object of a further annotator of the image; first: {tmp_path / 'in' / 'a.png'}."
    ]
    with (tmp_path / "out" / "left_out.csv").open() as file:
        assert [row["count"] for row in csv.DictReader(file)] == ["1"]


def test_an_image_inside_another_file_is_saved_as_png(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    done = run(ListSource([SourceImage("a", "a", "a", Sample("a", pixels, (DENT,)))]), "coco", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "images").iterdir()] == ["a.png"]
    assert "image inside another file" in done.sentences()[0]


def test_the_classes_of_a_data_set_keep_their_order(tmp_path):
    run(ListSource([saved(tmp_path / "in" / "a.png", DENT)], ["pit", "dent", "stain"]), "coco", tmp_path / "coco")
    source = DatasetSource(DatasetSpec.parse(f"coco:{tmp_path}/coco/annotations/instances_train.json"))
    done = run(source, "datumaro", tmp_path / "out")
    assert done.classes == ["pit", "dent", "stain"]
    content = json.loads((tmp_path / "out" / "annotations" / "train.json").read_text())
    assert [label["name"] for label in content["categories"]["label"]["labels"]] == ["pit", "dent", "stain"]
