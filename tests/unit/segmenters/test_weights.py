"""Where files of weights are searched, and the messages for wrong ones."""

import hashlib
import os
from dataclasses import replace

import pytest

from loopback import serving
from sam_backend.errors import WeightsError
from sam_backend.segmenters import weights
from sam_backend.segmenters.entries import OWN
from sam_backend.segmenters.model_info import WeightFolders, WeightsFile
from sam_backend.segmenters.weights import find_checkpoint, obtain_checkpoint

CONTENT = b"weights of a model" * 1000


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("SAM_INSPECT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SAM_INSPECT_WEIGHTS", str(tmp_path / "given"))
    return {"given": tmp_path / "given", "cache": tmp_path / "cache" / "weights", "explicit": tmp_path}


@pytest.fixture
def server():
    with serving() as loopback:
        loopback.routes["/tiny.pth"] = CONTENT
        yield loopback


@pytest.fixture
def checkpoint(server):
    return WeightsFile("sam:tiny", f"{server.url}/tiny.pth", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def find(checkpoint):
    return find_checkpoint(checkpoint, WeightFolders.of_settings(None))


def obtain(checkpoint, path=None):
    return obtain_checkpoint(checkpoint, WeightFolders.of_settings(None), path)


def put(folder, content=CONTENT):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny.pth"
    path.write_bytes(content)
    return path


def test_official_checkpoints_have_their_published_addresses():
    (largest,) = OWN["sam:vit_h"].files
    assert largest.url == "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_h_4b8939.pth"
    assert {len(bytes.fromhex(checkpoint.sha256)) for info in OWN.values() for checkpoint in info.files} == {32}


def test_an_explicit_path_comes_before_the_given_folder_before_the_cache_before_the_network(
    checkpoint, folders, server
):
    assert find(checkpoint) is None
    cached = obtain(checkpoint)
    assert cached == folders["cache"] / "tiny.pth"
    assert cached.read_bytes() == CONTENT
    assert obtain(checkpoint) == cached
    given = put(folders["given"])
    assert obtain(checkpoint) == given
    explicit = put(folders["explicit"])
    assert obtain(checkpoint, explicit) == explicit
    assert len(server.requests) == 1


def test_an_explicit_path_without_a_file_is_an_error_even_if_another_folder_has_it(checkpoint, folders):
    put(folders["given"])
    with pytest.raises(WeightsError, match=r"There is no file .*elsewhere\.pth; sam:tiny needs tiny\.pth there"):
        obtain(checkpoint, folders["explicit"] / "elsewhere.pth")


def test_a_corrupt_file_is_reported_with_both_hashes_and_what_to_do(checkpoint, folders):
    path = put(folders["given"], CONTENT[:-1])
    found = hashlib.sha256(CONTENT[:-1]).hexdigest()
    with pytest.raises(WeightsError) as caught:
        obtain(checkpoint)
    message = str(caught.value)
    assert all(part in message for part in (str(path), checkpoint.sha256, found, "sam-inspect download sam:tiny"))


def test_the_checkpoint_of_another_model_is_called_by_its_name(checkpoint, folders, monkeypatch):
    monkeypatch.setitem(OWN, "sam:tiny", replace(OWN["sam:vit_b"], name="sam:tiny", files=(checkpoint,)))
    path = put(folders["explicit"])
    with pytest.raises(WeightsError, match=r"is the checkpoint of sam:tiny: .*download sam:vit_b"):
        obtain(OWN["sam:vit_b"].files[0], path)


def test_a_download_with_other_bytes_is_reported_and_leaves_no_part_to_resume(checkpoint, folders, server):
    server.routes["/tiny.pth"] = CONTENT[::-1]
    with pytest.raises(WeightsError, match=f"is not tiny.pth: its SHA-256 is .*, expected {checkpoint.sha256}"):
        obtain(checkpoint)
    assert not (folders["cache"] / "tiny.pth.part").exists()
    server.routes["/tiny.pth"] = CONTENT
    assert obtain(checkpoint).read_bytes() == CONTENT


def test_a_cache_that_cannot_be_written_to_is_reported_in_one_sentence(checkpoint, folders):
    folders["cache"].parent.write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match=r"Cannot write .*tiny\.pth: .* must fit there"):
        obtain(checkpoint)


def test_a_checked_file_is_read_again_only_after_it_changed(checkpoint, folders, monkeypatch):
    reads = []
    monkeypatch.setattr(weights.hashlib, "sha256", lambda: reads.append(1) or hashlib.new("sha256"))
    path = obtain(checkpoint)
    obtain(checkpoint)
    assert len(reads) == 1
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    obtain(checkpoint)
    assert len(reads) == 2
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(WeightsError, match="corrupt"):
        obtain(checkpoint)


def test_a_damaged_memory_of_checks_costs_a_check_and_no_more(checkpoint, folders):
    path = put(folders["given"])
    obtain(checkpoint)
    (folders["cache"].parent / "sha256.json").write_text("{")
    assert obtain(checkpoint) == path
