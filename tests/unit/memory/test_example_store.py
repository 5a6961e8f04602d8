import itertools
import json
import threading
from dataclasses import replace

import numpy as np
import pytest

from sam_backend.memory.example_store import ExampleStore
from sam_backend.memory.features import FeatureVectors
from sam_backend.memory.records import Example, Record

CREATED = Record(1, "2026-11-23T05:00:00.5+00:00", 7, "/a.png", [{"id": "first"}])
UPDATED = Record(1, "2026-11-23T06:00:00+00:00", 7, "/a.png", [{"id": "second"}])
DELETED = Record(1, deleted=True)
OTHER = Record(2, "2026-11-23T05:30:00+00:00", 8, "/b.png", left_out="it was skipped")
VECTORS = FeatureVectors(np.ones((2, 4), np.float32), np.array(["", "red"]), np.ones(2, np.float32))


def head(record):
    return replace(record, regions=[])


def records(store):
    return [store.whole(head.key) for head in store.heads()]


@pytest.fixture
def store(tmp_path):
    return ExampleStore(tmp_path / "project")


@pytest.mark.parametrize(
    "events", [(CREATED, UPDATED, OTHER), (CREATED, UPDATED, DELETED, OTHER)], ids=["kept", "gone"]
)
def test_events_in_any_order_and_twice_leave_the_same_files(tmp_path, events):
    seen = set()
    for number, order in enumerate(itertools.permutations(events)):
        store = ExampleStore(tmp_path / str(number))
        for event in (*order, *order[:2]):
            store.put(event)
        seen.add(
            str([(record.annotation, record.regions, record.deleted, record.left_out) for record in records(store)])
        )
    assert len(seen) == 1
    (state,) = seen
    assert ("second" in state) == (DELETED not in events)


def test_only_newer_records_are_stored(store):
    assert [store.put(record) for record in (CREATED, CREATED, UPDATED, CREATED, DELETED, DELETED, UPDATED)] == [
        True, False, True, False, True, False, False
    ]  # fmt: skip


def test_times_are_compared_and_not_their_texts(store):
    store.put(Record(1, "2026-11-23T05:00:00Z", image="early"))
    assert store.put(Record(1, "2026-11-23T05:00:00.000001+00:00", image="late"))
    assert not store.put(Record(1, "2026-11-23T07:00:00+02:00", image="the same instant as the first"))


def test_an_example_belongs_to_one_change_and_one_model(store):
    store.put(CREATED)
    assert store.missing("nano-1") == [head(CREATED)]
    store.add_example(Example((1, 0), CREATED.updated, VECTORS), "nano-1")
    assert store.missing("nano-1") == []
    assert store.example_heads("nano-1")[1, 0].labels == ("", "red")
    np.testing.assert_array_equal(store.vectors("nano-1", [(1, 0), (2, 0)])[1, 0].values, VECTORS.values)
    assert store.missing("sam:vit_b-2") == [head(CREATED)]
    store.put(UPDATED)
    assert store.example_heads("nano-1") == {}
    assert store.missing("nano-1") == [head(UPDATED)]


@pytest.mark.parametrize("end", [DELETED, Record(1, "2027-01-01T00:00:00Z", left_out="it was skipped")])
def test_a_record_that_is_no_longer_usable_has_no_example(store, end):
    store.put(CREATED)
    store.add_example(Example((1, 0), CREATED.updated, VECTORS), "nano-1")
    store.put(end)
    assert store.example_heads("nano-1") == {}
    assert store.missing("nano-1") == []
    assert not list(store.folder.glob("examples/*/1.npz"))


def test_an_example_of_a_record_changed_or_deleted_meanwhile_is_not_stored(store):
    store.put(UPDATED)
    store.add_example(Example((1, 0), CREATED.updated, VECTORS), "nano-1")
    assert store.missing("nano-1") == [head(UPDATED)]
    store.put(DELETED)
    store.add_example(Example((1, 0), UPDATED.updated, VECTORS), "nano-1")
    assert not list(store.folder.glob("examples/*/*.npz"))


def test_a_problem_is_stored_so_that_it_is_logged_once(store):
    store.put(CREATED)
    store.add_example(Example((1, 0), CREATED.updated, None, "its mask is damaged"), "nano-1")
    assert store.missing("nano-1") == []
    assert store.example_heads("nano-1")[1, 0].problem == "its mask is damaged"


def test_a_damaged_file_is_made_again(store, caplog):
    store.put(CREATED)
    store.add_example(Example((1, 0), CREATED.updated, VECTORS), "nano-1")
    (path,) = store.folder.glob("examples/*/1.npz")
    path.write_bytes(path.read_bytes()[:100])
    # The index shows what is in the file once the file is read, or compared.
    assert store.vectors("nano-1", [(1, 0)]) == {}
    assert store.missing("nano-1") == [head(CREATED)]
    assert "made again" in caplog.text
    store.add_example(Example((1, 0), CREATED.updated, VECTORS), "nano-1")
    path.write_bytes(b"PK")
    store.verify()
    assert store.missing("nano-1") == [head(CREATED)]
    (store.folder / "annotations" / "1.json").write_text("{")
    assert store.whole((1, 0)) is None
    assert records(store) == []
    assert "damaged" in store.problems("nano-1")[0][2]
    assert store.put(CREATED)
    assert records(store) == [CREATED]


def test_the_annotations_of_a_deleted_task_are_gone(store):
    for record in (CREATED, OTHER):
        store.put(record)
    assert store.delete_task(7) == 1
    assert [record.annotation for record in records(store) if not record.deleted] == [2]
    assert not store.put(UPDATED)


def test_replacing_deletes_what_is_not_there_and_keeps_what_came_meanwhile(store):
    for record in (CREATED, OTHER):
        store.put(record)
    before = {record.annotation for record in records(store)}
    meanwhile = Record(3, "2026-11-23T07:00:00Z", 9, "/c.png")
    store.put(meanwhile)
    store.replace([UPDATED], before)
    assert [record.annotation for record in records(store) if not record.deleted] == [1, 3]
    assert records(store)[0] == UPDATED


def test_writers_at_once_lose_nothing(store):
    start = threading.Barrier(4)

    def write(first):
        start.wait()
        for number in range(20):
            ExampleStore(store.folder).put(Record(number, f"2026-11-23T05:00:{first:02d}Z", image=str(first)))

    threads = [threading.Thread(target=write, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(record.annotation, record.image) for record in records(store)] == [(number, "3") for number in range(20)]
    assert not [path for path in store.folder.rglob("*") if path.name.startswith(".")]


def test_a_forgotten_project_is_empty_and_can_be_learnt_again(store):
    store.put(DELETED)
    store.forget()
    assert records(store) == []
    assert store.put(CREATED)


def test_the_state_changes_with_records_and_examples(store):
    states = [store.state()]
    store.put(CREATED)
    states.append(store.state())
    store.add_example(Example((1, 0), CREATED.updated, VECTORS), "nano-1")
    states.append(store.state())
    assert len(set(states)) == 3
    assert store.state() == states[-1]


PAGES = [replace(CREATED, image=f"/{index}.png", index=index) for index in (0, 2)]


def test_the_records_of_an_annotation_take_the_place_of_its_older_ones(store):
    assert store.put(*PAGES)
    for record in PAGES:
        store.add_example(Example(record.key, CREATED.updated, VECTORS), "nano-1")
    newer = replace(UPDATED, image="/1.png", index=1)
    assert store.put(newer)
    assert records(store) == [newer]
    assert store.example_heads("nano-1") == {}
    assert not list(store.folder.glob("examples/*/*.npz"))
    assert not store.put(*PAGES)
    assert store.put(DELETED)
    assert records(store) == [DELETED]


def test_the_images_of_an_annotation_have_examples_of_their_own(store):
    store.put(*PAGES)
    assert store.missing("nano-1") == [head(record) for record in PAGES]
    store.add_example(Example((1, 2), CREATED.updated, VECTORS), "nano-1")
    assert list(store.example_heads("nano-1")) == [(1, 2)]
    assert store.missing("nano-1") == [head(PAGES[0])]
    assert store.delete_task(7) == 1
    assert [record.deleted for record in records(store)] == [True]


def test_a_record_of_the_version_before_is_read_and_replaced(store):
    (store.folder / "annotations").mkdir(parents=True)
    before = {name: value for name, value in vars(CREATED).items() if name not in ("regions", "index")}
    text = f"{json.dumps(before)}\n{json.dumps(CREATED.regions)}\n"
    (store.folder / "annotations" / "1.json").write_text(text)
    assert records(store) == [CREATED]
    assert not store.put(*PAGES)
    store.add_example(Example((1, 0), CREATED.updated, VECTORS), "nano-1")
    store.replace([CREATED], {1})
    assert list(store.example_heads("nano-1")) == [(1, 0)]
    store.replace(PAGES, {1})
    assert records(store) == PAGES
    assert store.example_heads("nano-1") == {}
    assert store.put(replace(UPDATED, index=1))
    assert [record.key for record in records(store)] == [(1, 1)]


def test_a_rebuild_gives_annotations_that_could_not_be_used_another_try(store):
    store.put(CREATED)
    store.add_example(Example((1, 0), CREATED.updated, None, "its image was turned"), "nano-1")
    store.replace([CREATED], {1})
    assert store.missing("nano-1") == [head(CREATED)]
