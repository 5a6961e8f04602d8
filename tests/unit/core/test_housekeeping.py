"""Everything in home and cache is its owner's alone, and nothing of a kill stays."""

import os
import stat

import pytest

from sam_backend.core.housekeeping import protect_folders, tidy
from sam_backend.files import whole_file


@pytest.fixture
def folders(tmp_path):
    """A home folder and a cache as the version before left them."""
    for name in ("home/memory/1.2/annotations", "home/models/nano", "home/finetune", "cache/embeddings/ab"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("home/servers.json", "home/memory/1.2/annotations/1.json", "cache/embeddings/cache.db"):
        (tmp_path / name).write_text("{}")
        (tmp_path / name).chmod(0o644)
    return tmp_path / "home", tmp_path / "cache"


def modes(*folders):
    paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    return {str(path): stat.S_IMODE(path.lstat().st_mode) for path in paths if not path.is_symlink()}


def test_files_and_folders_of_before_become_the_owners_alone(folders):
    protect_folders(*folders)
    tidy(*folders)
    assert {mode & 0o077 for mode in modes(*folders).values()} == {0}


def test_new_folders_are_the_owners_alone(tmp_path):
    protect_folders(tmp_path / "a" / "home", tmp_path / "b" / "cache")
    assert set(modes(tmp_path / "a", tmp_path / "b").values()) == {0o700}


def test_a_file_in_the_place_of_the_home_folder_is_a_warning_that_says_what_to_do(tmp_path, caplog):
    (tmp_path / "home").write_text("a file")
    protect_folders(tmp_path / "home", tmp_path / "cache")
    (said,) = caplog.messages
    assert said.startswith(f"{tmp_path / 'home'} cannot be made this user's alone. ")
    assert said.endswith("File exists; something else has this name already; remove or rename it.")


def test_a_home_folder_with_files_of_somebody_else_keeps_its_own_rights(folders):
    home, cache = folders
    (home / "notes.txt").write_text("mine")
    (home / "notes.txt").chmod(0o644)
    home.chmod(0o755)
    protect_folders(home, cache)
    tidy(home, cache)
    assert stat.S_IMODE(home.stat().st_mode) == 0o755
    assert stat.S_IMODE((home / "notes.txt").stat().st_mode) == 0o644
    assert stat.S_IMODE((home / "memory").stat().st_mode) == 0o700


def test_a_link_out_of_the_home_folder_changes_nothing_there(folders, tmp_path):
    home, cache = folders
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file.1.2.part").write_text("")
    outside.chmod(0o755)
    (home / "memory" / "link").symlink_to(outside, target_is_directory=True)
    (home / "weights").symlink_to(outside, target_is_directory=True)
    protect_folders(home, cache)
    tidy(home, cache)
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755
    assert (outside / "file.1.2.part").exists()


def test_what_a_kill_left_is_removed_and_what_is_being_written_stays(folders):
    home, cache = folders
    stale = [
        home / "servers.json.4242.1.part",
        home / "memory" / "1.2" / "annotations" / f"7.json.{os.getpid()}.3.part",
        cache / "embeddings" / "x.npz.1.1.part",
    ]
    for path in stale:
        path.write_text("token")
    download = cache / "embeddings" / "sam_vit_b.pth.part"
    download.write_text("half of a download, which goes on later")
    (home / "memory" / "1.2" / "examples.forgotten").mkdir()
    with whole_file(home / "memory" / "1.2" / "annotations" / "8.json") as part:
        part.write_bytes(b"8")
        protect_folders(home, cache)
        tidy(home, cache)
    assert not [path for path in stale if path.exists()]
    assert download.exists()
    assert not (home / "memory" / "1.2" / "examples.forgotten").exists()
    assert (home / "memory" / "1.2" / "annotations" / "8.json").read_bytes() == b"8"


def test_a_service_protects_its_folders_when_it_starts(make_client, make_settings):
    settings = make_settings()
    settings.home.mkdir()
    settings.home.chmod(0o755)
    (settings.home / "servers.json.4242.1.part").write_text("token")
    make_client()
    assert stat.S_IMODE(settings.home.stat().st_mode) == 0o700
    assert stat.S_IMODE((settings.cache / "embeddings").stat().st_mode) == 0o700
    assert not list(settings.home.glob("*.part"))
