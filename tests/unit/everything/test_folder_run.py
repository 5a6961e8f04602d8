"""A folder of images becomes pictures, label maps, a file of COCO and a table; an interrupted run goes on."""

import csv
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from colour_segmenter import ColourSegmenter, surface
from mask_files import save
from sam_backend.core.task_embeddings import TaskEmbeddings
from sam_backend.errors import BadRequestError
from sam_backend.everything.folder_run import BROKEN, TABLE, FolderRun
from sam_backend.everything.search import ProjectSearch, Search
from sam_backend.files import write_whole
from sam_backend.memory.proposals import Proposal
from sam_backend.progress import no_progress
from sam_backend.segmenters.automatic import AutomaticSettings
from sam_backend.segmenters.pixels import with_pixels
from sam_backend.settings import Settings
from sam_backend.stores import StorePath, files_below, place
from sam_evaluation.datasets.registry import DatasetSpec

RED, GREEN = (10, 20), (90, 60)
SQUARES = {"red": (10, 20, 34, 44), "green": (90, 60, 114, 84)}
GRID = AutomaticSettings(points_per_side=8, pred_iou_thresh=0, stability_score_thresh=0, max_area_fraction=0.5)


class StoppedError(Exception):
    pass


class Segmenter(ColourSegmenter):
    """Breaks off at an image where it is told to; its embeddings hold their images, as those of loaded models do."""

    def __init__(self, stop_at=None):
        super().__init__()
        self._stop_at = stop_at

    def encode(self, image):
        if self.encoded == self._stop_at:
            raise StoppedError
        return with_pixels(super().encode(image), image)


def search(segmenter=None, automatic=GRID, settings=None, project=None):
    return Search(segmenter or Segmenter(), TaskEmbeddings.in_memory(settings or Settings()), automatic, project)


def run(folder, out, segmenter=None, **options):
    return FolderRun(folder, out).run(search(segmenter, **options), no_progress)


@pytest.fixture
def folder(tmp_path):
    """Three images with a red and a green square of 24 pixels."""
    pixels, _ = surface(0, red=[RED], green=[GREEN])
    for number in range(3):
        pixels[0, 0] += 1  # files with one content have one embedding
        save(tmp_path / "images" / f"line {number % 2}" / f"{number}.png", pixels)
    return tmp_path / "images"


def contents(out):
    """Return the content of every result; a part names the time of its image."""
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.parent.name != "parts")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def everything_in(out):
    """Return the content of every file, also of parts."""
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in files_below(out)}


def test_every_image_has_its_pictures_maps_run_lengths_and_rows(folder, tmp_path):
    out = tmp_path / "out"
    done = run(folder, out)
    assert (len(done.parts), done.count, done.broken) == (3, 6, [])
    assert list(contents(out)) == sorted(
        [
            *("annotations/instances.json", "broken.csv", "everything.json", "instances.csv"),
            *(
                f"{kind}/line {number % 2}/{number}.png"
                for kind in ("class_maps", "images", "instance_maps", "side_by_side")
                for number in range(3)
            ),
        ]
    )
    with (out / "instances.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["image"] == "line 0/0.png"]
    boxes = {tuple(int(row[side]) for side in ("left", "top", "right", "bottom")): row for row in rows}
    assert set(boxes) == set(SQUARES.values())
    instances = Image.open(out / "instance_maps" / "line 0" / "0.png")
    assert instances.mode == "P"
    for (left, top, right, bottom), row in boxes.items():
        assert int(row["area"]) == 24 * 24
        assert (np.asarray(instances)[top:bottom, left:right] == int(row["id"])).all()
    classes = np.asarray(Image.open(out / "class_maps" / "line 0" / "0.png"))
    np.testing.assert_array_equal(classes, np.asarray(instances) > 0)
    height, width = classes.shape
    assert Image.open(out / "side_by_side" / "line 0" / "0.png").size == (2 * width + 8, height)


def test_our_reader_and_pycocotools_read_the_same_masks(folder, tmp_path, capsys):
    out = tmp_path / "out"
    run(folder, out)
    coco = COCO(out / "annotations" / "instances.json")
    data = DatasetSpec.parse(f"coco:{out}").open()
    names = {image["file_name"]: image["id"] for image in coco.dataset["images"]}
    assert set(data.names()) == set(names)
    for name, number in names.items():
        masks = [coco.annToMask(annotation) for annotation in coco.loadAnns(coco.getAnnIds(imgIds=number))]
        objects = data.load(name).objects
        assert [one.label for one in objects] == ["object"] * 2
        np.testing.assert_array_equal([one.mask for one in objects], masks)


def test_an_interrupted_run_goes_on_where_it_was(folder, tmp_path):
    run(folder, tmp_path / "whole")
    with pytest.raises(StoppedError):
        run(folder, tmp_path / "out", Segmenter(stop_at=2))
    assert not list(tmp_path.rglob("*.part"))
    rest = Segmenter()
    run(folder, tmp_path / "out", rest)
    assert rest.encoded == 1
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_store_gives_and_gets_the_same_files_as_a_disk(folder, tmp_path, s3):
    run(folder, tmp_path / "out")
    images, out = place(s3.upload(folder, "images")), place(f"{s3.address}/out")
    done = run(images, out)
    assert (len(done.parts), done.broken) == (3, [])
    stored = {name: file for name, file in s3.files("out/").items() if not name.startswith("parts/")}
    assert stored == contents(tmp_path / "out")
    run(images, tmp_path / "from store")
    run(folder, place(f"{s3.address}/to store"))
    assert contents(tmp_path / "from store") == stored
    assert {name: file for name, file in s3.files("to store/").items() if not name.startswith("parts/")} == stored


def test_a_name_that_no_store_can_have_costs_its_image_alone(folder, tmp_path, s3):
    names = ["a\nb.png", "a\rb.png", "c?versionId=1.png", os.fsdecode(b"d\xff.png")]
    for name in names:
        shutil.copy(folder / "line 0" / "0.png", folder / name)
    assert len(run(folder, tmp_path / "out").parts) == 3 + len(names)
    again = Segmenter()
    assert len(run(folder, tmp_path / "out", again).parts) == 3 + len(names)
    assert again.encoded == 0
    assert "d\\udcff.png" in (tmp_path / "out" / TABLE).read_text("utf-8")
    out = place(f"{s3.address}/out")
    done = run(folder, out)
    assert len(done.parts) == 3
    assert sorted(name for name, _ in done.broken) == sorted(names)
    assert all(reason.startswith(f"It cannot be written to {out}: ") for _, reason in done.broken)
    assert b"d\\udcff.png,It cannot be written to" in (out / BROKEN).read_bytes()
    assert (out / TABLE).is_file()


def test_an_interrupted_run_goes_on_where_it_was_on_a_store(folder, tmp_path, s3):
    images, out = place(s3.upload(folder, "images")), place(f"{s3.address}/out")
    with pytest.raises(StoppedError):
        run(images, out, Segmenter(stop_at=2))
    rest = Segmenter()
    run(images, out, rest)
    assert rest.encoded == 1
    run(images, place(f"{s3.address}/whole"))
    assert s3.files("out/") == s3.files("whole/")


def test_what_a_killed_run_left_half_written_is_removed(folder, tmp_path):
    run(folder, tmp_path / "out")
    half = tmp_path / "out/side_by_side/line 0/0.png.123.456.part"
    half.write_bytes(b"half")
    run(folder, tmp_path / "out")
    assert not half.exists()


@pytest.mark.parametrize("damage", [b"{bad", b"[1]", b"\xff", b'{"instances": 3}', "other"])
@pytest.mark.parametrize("on_store", [False, True])
def test_an_image_whose_part_is_damaged_is_searched_again(folder, tmp_path, s3, caplog, damage, on_store):
    out = place(f"{s3.address}/out") if on_store else tmp_path / "out"
    run(folder, out)
    whole = everything_in(out)
    parts = sorted((out / "parts").iterdir())
    write_whole(parts[0], parts[1].read_bytes() if damage == "other" else damage)
    again = Segmenter()
    assert run(folder, out, again).count == 6
    assert again.encoded == 1
    assert f"{parts[0]} is damaged" in caplog.text
    assert everything_in(out) == whole


def test_a_damaged_part_of_an_image_that_is_gone_is_removed(folder, tmp_path):
    run(folder, tmp_path / "out")
    old = tmp_path / "out" / "parts" / "old.json"
    old.write_text("{bad")
    run(folder, tmp_path / "out")
    assert not old.exists()


@pytest.mark.parametrize("on_store", [False, True])
def test_results_that_are_missing_or_empty_are_made_again(folder, tmp_path, s3, on_store):
    out = place(f"{s3.address}/out") if on_store else tmp_path / "out"
    run(folder, out)
    whole = everything_in(out)
    parts = sorted((out / "parts").iterdir())
    for kind in ("images", "side_by_side", "instance_maps", "class_maps"):
        (out / kind / "line 0" / "0.png").unlink()
        # A link to the image of the user would be emptied with it.
        (out / kind / "line 1" / "1.png").unlink()
        write_whole(out / kind / "line 1" / "1.png", b"")
        again = Segmenter()
        assert run(folder, out, again).count == 6
        assert again.encoded == 2
        assert everything_in(out) == whole
    write_whole(parts[0], b"")
    again = Segmenter()
    run(folder, out, again)
    assert again.encoded == 1
    assert everything_in(out) == whole


def test_what_is_whole_is_known_from_listings_of_a_store(folder, s3, monkeypatch):
    out = place(f"{s3.address}/out")
    run(folder, out)
    asked = []
    asking = StorePath._asking
    monkeypatch.setattr(
        StorePath, "_asking", lambda path, **options: asked.append(path.name) or asking(path, **options)
    )
    run(folder, out)
    assert {"parts", "images"} <= set(asked)
    assert not [name for name in asked if name.endswith(".png")]


def test_an_image_that_is_gone_leaves_nothing_and_a_changed_one_is_done_again(folder, tmp_path):
    out = tmp_path / "out"
    run(folder, out)
    (folder / "line 0" / "0.png").unlink()
    pixels, _ = surface(0, red=[RED])
    save(folder / "line 0" / "2.png", np.ascontiguousarray(pixels[:-1]))
    again = Segmenter()
    done = run(folder, out, again)
    assert again.encoded == 1
    assert done.count == 3
    assert {part.name for part in done.parts} == {"line 1/1.png", "line 0/2.png"}
    assert not [name for name in contents(out) if name.endswith("/0.png")]
    assert len(list((out / "parts").iterdir())) == 2


def test_a_broken_image_is_named_and_the_others_are_done(folder, tmp_path):
    (folder / "a.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image either")
    done = run(folder, tmp_path / "out")
    ((name, reason),) = done.broken
    assert name == "a.jpg"
    assert "not an image that can be read" in reason
    assert len(done.parts) == 3
    assert (tmp_path / "out" / "broken.csv").read_text().startswith("image,reason\na.jpg,")
    for file in folder.rglob("*.png"):
        file.unlink()
    with pytest.raises(BadRequestError, match=r"0 of 1 images can be used. The first is a.jpg: "):
        run(folder, tmp_path / "other")


def test_a_link_that_leads_nowhere_is_named(folder, tmp_path):
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert run(folder, tmp_path / "out").broken == [("gone.png", "It cannot be read: No such file or directory.")]


class Removing(Segmenter):
    """Encodes an image after which a file is removed."""

    def __init__(self, remove):
        super().__init__()
        self._remove = remove

    def encode(self, image):
        embedding = super().encode(image)
        if self.encoded == 1:
            self._remove()
        return embedding


@pytest.mark.parametrize("on_store", ["", "out", "images and out"])
def test_an_image_that_is_removed_while_it_is_searched_is_named(folder, tmp_path, s3, on_store):
    images = place(s3.upload(folder, "images")) if "images" in on_store else folder
    out = place(f"{s3.address}/out") if "out" in on_store else tmp_path / "out"
    done = run(images, out, Removing((images / "line 0" / "0.png").unlink))
    assert done.broken == [("line 0/0.png", "It cannot be read: No such file or directory.")]
    assert len(done.parts) == 2
    assert not (out / "images" / "line 0" / "0.png").exists()


def test_folders_that_do_not_fit_are_refused_before_any_work(folder, tmp_path):
    empty, other = tmp_path / "empty", tmp_path / "other"
    empty.mkdir()
    save(other / "a.png", np.zeros((4, 4), np.uint8))
    (tmp_path / "file").write_text("")
    for images, out, sentence in (
        (tmp_path / "nowhere", tmp_path / "out", "there is no such folder"),
        (empty, tmp_path / "out", "holds no image; expected files that end in .png"),
        (folder, other, "holds other files; name a new folder"),
        (folder, tmp_path / "file", "is a file; name a new folder"),
        (folder, folder / "out", "lies within"),
        (folder, tmp_path, "or around it"),
    ):
        with pytest.raises(BadRequestError, match=sentence):
            FolderRun(images, out)
    assert not (tmp_path / "out").exists()


def test_a_folder_holds_the_results_of_one_search(folder, tmp_path):
    run(folder, tmp_path / "out")
    other = AutomaticSettings(points_per_side=4)
    with pytest.raises(BadRequestError, match=r"holds a run with points_per_side 8, this one has 4; name a new folder"):
        run(folder, tmp_path / "out", automatic=other)
    for damaged in ("[1]", "{"):
        (tmp_path / "out/everything.json").write_text(damaged)
        with pytest.raises(BadRequestError, match=r"everything.json cannot be read; name a new folder"):
            run(folder, tmp_path / "out")


def test_images_of_one_stem_have_pngs_of_their_own(tmp_path):
    pixels, _ = surface(0, red=[RED])
    for name in ("a.png", "a.bmp", "b.png", "c.png", "c.png.tif"):
        save(tmp_path / "images" / name, pixels)
    done = run(tmp_path / "images", tmp_path / "out")
    assert {part.name: part.png for part in done.parts} == {
        "a.bmp": "a.bmp.png",
        "a.png": "a.png.png",
        "b.png": "b.png",
        "c.png": "c.png",
        "c.png.tif": "c.png.tif.png",
    }


def test_deep_grey_levels_and_large_images_are_read(tmp_path):
    """The red square lies in both tiles of the large image; a tile's side is 1,024 pixels."""
    deep = np.full((60, 80), 20_000, np.uint16)
    deep[10:30, 20:50] = 60_000
    save(tmp_path / "images" / "deep.png", deep)
    large = np.full((1024, 1500, 3), 90, np.uint8)
    large[300:500, 600:800] = (200, 40, 40)
    save(tmp_path / "images" / "large.png", large)
    settings = Settings(large_image_pixels=1_000_000, cache=tmp_path / "cache")
    done = run(tmp_path / "images", tmp_path / "out", settings=settings, automatic=replace(GRID, points_per_side=4))
    found = {part.name: [tuple(one.box) for one in part.instances] for part in done.parts}
    assert (20, 10, 50, 30) in found["deep.png"]
    assert found["large.png"].count((600, 300, 800, 500)) == 1
    data = DatasetSpec.parse(f"coco:{tmp_path / 'out'}").open()
    assert len(data.load("deep.png").objects) == len(found["deep.png"])


class Proposing:
    """Proposes the two squares by their classes."""

    name = "memory"

    def propose(self, segmenter, embedding, *, limit=None):
        proposals = []
        for label, (left, top, right, bottom) in SQUARES.items():
            mask = np.zeros(embedding.size, bool)
            mask[top:bottom, left:right] = True
            proposals.append(Proposal(mask, label, 0.9))
        return proposals


def project(examples, labels=("blue", "green", "red")):
    """Return what a search needs of a project."""
    return ProjectSearch({"project": "3.1", "examples": examples}, labels, Proposing(), None)


def test_a_project_gives_the_classes(folder, tmp_path):
    out = tmp_path / "out"
    done = run(folder, out, project=project("seven"))
    assert done.classes == ["blue", "green", "red"]
    classes = np.asarray(Image.open(out / "class_maps" / "line 0" / "0.png"))
    for label, (left, top, right, bottom) in SQUARES.items():
        assert (classes[top:bottom, left:right] == done.classes.index(label) + 1).all()
    content = json.loads((out / "annotations" / "instances.json").read_text())
    assert [category["name"] for category in content["categories"]] == done.classes
    assert "stability" not in content["annotations"][0]
    with pytest.raises(BadRequestError, match="holds a run with examples seven, this one has eight"):
        run(folder, out, project=project("eight"))


class Hasty:
    """Takes all items before the result of the first is asked for."""

    def map(self, work, items):
        yield from [work(item) for item in list(items)]


class Alternating(Proposing):
    """Proposes one square, whose class depends on the image."""

    def propose(self, segmenter, embedding, *, limit=None):
        return [
            replace(super().propose(segmenter, embedding)[0], label=f"class {embedding.arrays['image'][0, 0, 0] % 2}")
        ]


def test_classes_that_are_found_on_the_way_have_the_same_ids_whoever_works(folder, tmp_path):
    for out, options in (("here", {}), ("ahead", {"workers": Hasty()})):
        seeks = replace(project("seven", labels=("blue",)), proposer=Alternating())
        done = FolderRun(folder, tmp_path / out).run(search(project=seeks), no_progress, **options)
        assert len(done.classes) == 3
    assert contents(tmp_path / "here") == contents(tmp_path / "ahead")


def test_a_class_map_follows_its_classes_when_images_come_and_go(folder, tmp_path):
    seeks = search(project=replace(project("seven", labels=()), proposer=Alternating()))
    first = FolderRun(folder, tmp_path / "out").run(seeks, no_progress)
    new = np.array(Image.open(folder / "line 0" / "0.png"))
    new[0, 0] += 1
    for change in (lambda: save(folder / "a.png", new), (folder / "a.png").unlink):
        change()
        done = FolderRun(folder, tmp_path / "out").run(seeks, no_progress)
        for part in done.parts:
            shown = np.asarray(Image.open(tmp_path / "out" / "class_maps" / part.png))
            assert shown.max() == done.classes.index(part.instances[0].label) + 1
    assert done.classes == first.classes
