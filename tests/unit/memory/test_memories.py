"""A memory belongs to one project of one Label Studio."""

import json
import os

import pytest

from sam_backend.core.project_work import forget
from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.memory.memories import Memories
from sam_backend.memory.records import Record
from sam_backend.settings import Settings

UID = "1.1795411201"


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def put(memories, number):
    memories.of(UID).store.put(Record(number, image=f"/{number}.png"))
    memories.keep_owner(UID)


def ids(memories):
    return [head.annotation for head in memories.of(UID).store.heads()]


def test_two_label_studios_with_the_same_uid_share_no_examples(home, caplog):
    servers = ServerRegistry(home)
    servers.remember(UID, "https://one.example", "token-1")
    memories = Memories(home, servers)
    put(memories, 1)
    # The operator removed the first one, and a second one connects.
    (home / "servers.json").write_text("{}")
    servers = ServerRegistry(home)
    servers.remember(UID, "https://two.example", "token-2")
    other = Memories(home, servers)
    assert ids(other) == []
    assert ids(other) == []
    assert caplog.text.count("is now of another Label Studio") == 1
    put(other, 2)
    assert (ids(other), ids(Memories(home, servers))) == ([2], [2])
    (home / "servers.json").write_text("{}")
    servers = ServerRegistry(home)
    servers.remember(UID, "https://one.example", "token-3")
    assert ids(Memories(home, servers)) == [1]
    assert memories.projects() == [UID]


def test_a_label_studio_that_moved_with_a_proof_keeps_its_examples(home):
    servers = ServerRegistry(home)
    servers.remember(UID, "https://one.example", "token-1")
    put(Memories(home, servers), 1)
    servers.remember(UID, "https://moved.example", "token-1")
    assert ids(Memories(home, servers)) == [1]


def test_examples_of_before_the_first_connection_and_of_the_version_before_stay(home):
    put(Memories(home), 1)
    servers = ServerRegistry(home)
    memories = Memories(home, servers)
    put(memories, 2)
    servers.remember(UID, "https://one.example", "token-1")
    assert ids(memories) == [1, 2]
    put(memories, 3)
    assert ids(Memories(home, ServerRegistry(home))) == [1, 2, 3]


def test_a_folder_of_the_version_before_is_found_under_its_old_name(home):
    uid = "~" + "x" * 150
    folder = home / "memory" / uid / "annotations"
    folder.mkdir(parents=True)
    (folder / "5.json").write_text(json.dumps({"annotation": 5}) + "\n[]\n")
    assert [head.annotation for head in Memories(home).of(uid).store.heads()] == [5]


def test_all_examples_of_a_project_are_forgotten(home, tmp_path):
    servers = ServerRegistry(home)
    for number, host in enumerate(("https://one.example", "https://two.example")):
        (home / "servers.json").unlink(missing_ok=True)
        servers = ServerRegistry(home)
        servers.remember(UID, host, "token")
        put(Memories(home, servers), number)
    assert len(list((home / "memory").iterdir())) == 2
    assert forget(Settings(home=home, cache=tmp_path / "cache"), "1") == [UID]
    assert not list((home / "memory").glob("*/annotations/*"))


def test_a_folder_that_cannot_be_read_is_no_home_without_projects(home, tmp_path):
    assert Memories(home).problem() == ""
    home.mkdir()
    (home / "memory").write_text("no folder")
    assert Memories(home).projects() == []
    assert (
        Memories(home)
        .problem()
        .endswith("memory, which holds what projects have learnt, cannot be read: Not a directory.")
    )
    with pytest.raises(BadRequestError, match="which holds what projects have learnt, cannot be read"):
        forget(Settings(home=home, cache=tmp_path / "cache"), "1")


def test_a_uid_that_names_no_folder_is_listed_as_it_is(home):
    memories = Memories(home)
    for uid in ("..", "x" * 250):
        memories.of(uid).store.put(Record(1))
        memories.keep_owner(uid)
    assert memories.projects() == ["..", "x" * 250]
    assert {path.parent for path in home.rglob("annotations")} == set((home / "memory").iterdir())


def test_projects_of_strangers_do_not_grow_the_memory(home):
    memories = Memories(home)
    for number in range(1000):
        memories.of(f"{number}.1")
    assert len(memories._open) <= 64
    assert not (home / "memory").exists()


def test_a_folder_whose_name_is_no_text_is_no_project(home):
    memories = Memories(home)
    put(memories, 1)
    (home / "memory" / os.fsdecode(b"\xff")).mkdir()
    assert memories.projects() == [UID]


def test_who_looks_at_all_projects_closes_none(home):
    memories = Memories(home)
    put(memories, 1)
    opened = [memories.of(f"{number}.1") for number in range(64)]
    assert [head.annotation for head in memories.look_at(UID).store.heads()] == [1]
    assert [memories.look_at(f"{number}.1") for number in range(64)] == opened
    # Looked at last, and still the first one to be closed.
    memories.look_at("0.1")
    memories.of(UID)
    assert memories.look_at("0.1") is not opened[0]
    assert memories.look_at("1.1") is opened[1]
