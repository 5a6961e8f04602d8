"""What was answered moments ago is bounded in memory, and shared by the servers of one cache folder."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest

from sam_backend.core import answered_file
from sam_backend.core.answered import Answered, Start
from sam_backend.core.answered_regions import AnsweredRegions
from sam_backend.core.clicks import Clicks
from sam_backend.labelstudio.brush_text import BrushText
from sam_backend.labelstudio.mask_runs import MaskRuns
from sam_backend.labelstudio.page_regions import PageRegion

MASK = MaskRuns.of_mask(np.ones((4, 4), bool))
LARGE = {
    "brush": {"rle": [7] * 5_000},
    "bitmask": {"imageDataURL": "x" * 40_000},
    "polygon": {"points": [[1.0, 2.0]] * 300},
    "vector": {"vertices": [{"id": "0123456789", "x": 1.0, "y": 2.0}] * 250},
    "text": {"rle": [], "text": ["x" * 40_000]},
}


def answered(value, start=None):
    return Answered(PageRegion("a", ({"id": "a", "value": value},)), MASK, Clicks.none(), start, (), None, "")


def place(task):
    return "1", str(task), "image", 0, "key"


@pytest.mark.parametrize("shape", LARGE)
@pytest.mark.parametrize("is_start", [False, True], ids=["answer", "start"])
def test_images_clicked_longest_ago_are_dropped(shape, is_start):
    large = PageRegion("a", ({"id": "a", "value": LARGE[shape]},))
    answer = answered({}, Start(large, MASK, Clicks.none())) if is_start else answered(LARGE[shape])
    assert answer.nbytes > 40_000
    regions = AnsweredRegions(limit_bytes=3 * answer.nbytes)
    for task in range(5):
        regions.put(place(task), answer)
    assert [len(regions.of(place(task))) for task in range(5)] == [0, 0, 1, 1, 1]


CLICKS = Clicks(np.array([[1.5, 2.5], [3, 0]], np.float32), np.array([1, 0]))
BRUSH = {"value": {"format": "rle", "rle": BrushText(b"1, 2, 3"), "brushlabels": ["Pit"]}, "item_index": 1}


def named(id_, start=None, drawn=CLICKS):
    region = PageRegion(id_, ({"id": id_, **BRUSH}, {"id": id_, "value": {"rle": [1, 2]}}), ("Pit",))
    return Answered(region, MASK, CLICKS, start, ("k1", "k2"), drawn, "7 2026-11-29")


def plain(value):
    """Return what an answer holds, as values that can be compared."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return {name: plain(field) for name, field in vars(value).items()} if hasattr(value, "__dict__") else value


def test_an_answer_of_one_server_is_known_to_the_other_as_it_was(tmp_path):
    one, other = AnsweredRegions(folder=tmp_path), AnsweredRegions(folder=tmp_path)
    answers = [named("a"), named("b", Start(named("a").region, MASK, CLICKS), None)]
    for answer in answers:
        one.put(place(1), answer)
    assert [plain(answer) for answer in other.of(place(1))] == [plain(answer) for answer in answers]
    # What did not change is not read again.
    assert other.of(place(1))[0] is other.of(place(1))[0]
    assert other.of(place(2)) == ()


def test_each_server_sees_what_the_other_changed_and_forgot(tmp_path):
    one, other = AnsweredRegions(folder=tmp_path), AnsweredRegions(folder=tmp_path)
    one.put(place(1), named("a"))
    other.put(place(1), named("b"))
    other.put(place(1), named("a", drawn=None))
    assert [(answer.region.id, answer.drawn) for answer in one.of(place(1))][1] == ("a", None)
    one.forget(place(1), "b")
    assert [answer.region.id for answer in other.of(place(1))] == ["a"]


def test_the_file_is_bounded(tmp_path):
    regions = AnsweredRegions(limit_bytes=2**18, folder=tmp_path)
    for task in range(40):
        regions.put(place(task), answered(LARGE["bitmask"]))
    other = AnsweredRegions(folder=tmp_path)
    kept = [len(other.of(place(task))) for task in range(40)]
    assert kept[0] == 0
    assert kept[-1] == 1
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2**19
    for number in range(210):
        regions.put(place(0), named(str(number)))
    assert len(other.of(place(0))) <= 200


@pytest.mark.parametrize("content", [b"not SQLite" * 1000, b"old"], ids=["damaged", "other version"])
def test_a_damaged_file_is_made_again_and_a_damaged_answer_left_out(tmp_path, content):
    path = tmp_path / "answered.sqlite"
    if content == b"old":
        with sqlite3.connect(path) as old:
            old.execute("PRAGMA user_version = 99")
        old.close()
    else:
        path.write_bytes(content)
    one = AnsweredRegions(folder=tmp_path)
    one.put(place(1), named("a"))
    one.put(place(1), named("b"))
    with sqlite3.connect(path) as torn:
        torn.execute("UPDATE answered SET content = ? WHERE region = 'a'", (b"torn",))
    torn.close()
    assert [answer.region.id for answer in AnsweredRegions(folder=tmp_path).of(place(1))] == ["b"]


def test_without_a_folder_that_can_be_written_the_answers_stay_in_memory(tmp_path):
    (tmp_path / "file").touch()
    regions = AnsweredRegions(folder=tmp_path / "file" / "answered")
    regions.put(place(1), named("a"))
    assert [answer.region.id for answer in regions.of(place(1))] == ["a"]


def test_what_cannot_be_written_is_known_to_the_server_that_answered(tmp_path):
    regions = AnsweredRegions(folder=tmp_path)
    regions.put(place(1), named("a"))
    regions.put(place(1), named("\ud800"))
    assert [answer.region.id for answer in regions.of(place(1))] == ["a", "\ud800"]
    assert [answer.region.id for answer in AnsweredRegions(folder=tmp_path).of(place(1))] == ["a"]


def test_an_answer_that_another_server_keeps_from_being_written_costs_itself_only(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(answered_file, "_WAIT_SECONDS", 0.01)
    regions = AnsweredRegions(folder=tmp_path)
    regions.put(place(1), named("a"))
    with closing(sqlite3.connect(tmp_path / "answered.sqlite")) as other:
        reading = other.execute("SELECT number FROM answered")
        regions.put(place(1), named("b"))
        reading.fetchall()
    assert "An answer is not shared with other servers: database is locked" in caplog.text
    regions.put(place(1), named("c"))
    assert [answer.region.id for answer in regions.of(place(1))] == ["a", "b", "c"]
    assert [answer.region.id for answer in AnsweredRegions(folder=tmp_path).of(place(1))] == ["a", "c"]
