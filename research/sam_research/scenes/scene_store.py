"""Scenes on disk: all cores make them once, and a training reads them many times."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from sam_backend.files import whole_file, write_whole
from sam_evaluation.workers import worker_pool
from sam_research.materials.collection import library
from sam_research.materials.fetching import MaterialsError
from sam_research.scenes.composition import COMPOSITIONS, compose
from sam_research.scenes.regions import REGIONS, divide
from sam_research.scenes.scene import Scene, make_scene

MADE_FROM = "materials.sha256"
"""File in a folder of scenes: the digest of the materials that its scenes are composed from."""


def scene_path(folder: Path, seed: int) -> Path:
    """Return the path of scene `seed` in a folder."""
    return folder / f"{seed // 1000:04d}" / f"{seed:07d}.npz"


def save_scene(folder: Path, seed: int, materials: Path | None = None) -> None:
    """Make scene `seed` and write it, whole or not at all, unless it exists already.

    Raises
    ------
    MaterialsError
        If the scene is composed from materials, and `materials` is None or holds none.
    """
    path = scene_path(folder, seed)
    if path.exists():
        return
    cv2.setNumThreads(1)
    if COMPOSITIONS <= seed < 2 * COMPOSITIONS:
        if materials is None:
            raise MaterialsError(f"Scene {seed} is not in {folder}, and to compose it a folder of materials is needed.")
        scene = (divide if seed >= REGIONS else compose)(seed, library(materials))
    else:
        scene = make_scene(seed)
    encoded = cv2.imencode(".png", scene.image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
    with whole_file(path, private=False) as part, part.open("wb") as file:
        np.savez_compressed(file, image=encoded, masks=np.packbits(scene.masks), count=len(scene.masks))


def load_scene(folder: Path, seed: int) -> Scene:
    """Read scene `seed`; make it first if it is missing."""
    save_scene(folder, seed)
    with np.load(scene_path(folder, seed)) as stored:
        image = np.asarray(cv2.imdecode(stored["image"], cv2.IMREAD_COLOR), np.uint8)
        shape = (int(stored["count"]), *image.shape[:2])
        masks = np.unpackbits(stored["masks"], count=int(np.prod(shape))).reshape(shape).astype(bool)
    return Scene(image, masks)


def build_scenes(folder: Path, seeds: Iterable[int], jobs: int | None = None, materials: Path | None = None) -> None:
    """Make the scenes that are missing in a folder, with a progress bar.

    Scenes from number `COMPOSITIONS` on are composed from the folder `materials`.

    Raises
    ------
    MaterialsError
        If there are no materials, or the folder has scenes made from other materials.
    """
    missing = [seed for seed in seeds if not scene_path(folder, seed).exists()]
    if not missing:
        return
    if materials is not None:
        _same_materials(folder, library(materials).digest)
    # The workers are not forked: they would inherit OpenCV's threads in any state and could wait for them forever.
    with worker_pool(jobs) as pool:
        made = pool.map(save_scene, repeat(folder), missing, repeat(materials), chunksize=16)
        for _ in track(made, total=len(missing), description=f"Making {len(missing)} scenes"):
            pass


def _same_materials(folder: Path, digest: str) -> None:
    path = folder / MADE_FROM
    if not path.exists():
        write_whole(path, digest.encode(), private=False)
    elif path.read_text() != digest:
        raise MaterialsError(f"The scenes in {folder} are composed from other materials; give them another folder.")
