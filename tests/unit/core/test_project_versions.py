"""The promoted parts of many projects share a process without being in each other's way."""

import threading

import pytest

from sam_backend.core.project_versions import ProjectVersions
from sam_backend.finetune.versions import VERSIONS, Version, Versions


@pytest.fixture
def promote(tmp_path):
    versions = Versions(tmp_path / VERSIONS)

    def of(model):
        with versions.staging(model) as folder:
            (folder / "head.onnx").write_bytes(model.encode())
            versions.promote(versions.add(Version("", model), folder).name)

    return of


def test_projects_without_a_part_of_their_own_push_out_none(tmp_path, promote):
    promote("refiner:own")
    loaded = []
    parts = ProjectVersions(tmp_path, lambda folder: loaded.append(folder) or folder.name, "")
    for number in range(50):
        assert parts.promoted(f"refiner:{number}") is None
        assert parts.promoted("refiner:own") == "refiner_own-0001"
    assert len(loaded) == 1


def test_a_click_does_not_wait_until_the_part_of_another_project_is_loaded(tmp_path, promote):
    promote("refiner:slow")
    promote("refiner:fast")
    begun, may_end = threading.Event(), threading.Event()

    def load(folder):
        if "slow" in folder.name:
            begun.set()
            assert may_end.wait(30)
        return folder.name

    parts = ProjectVersions(tmp_path, load, "")
    slow = threading.Thread(target=parts.promoted, args=("refiner:slow",))
    slow.start()
    try:
        assert begun.wait(30)
        fast = threading.Thread(target=parts.promoted, args=("refiner:fast",), daemon=True)
        fast.start()
        fast.join(30)
        assert not fast.is_alive()
        assert parts.promoted("refiner:none") is None
    finally:
        may_end.set()
        slow.join()
