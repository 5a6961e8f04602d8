"""Scenes on disk: made once, by all cores, and read many times while training."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from sam_backend.learning.scenes.scene import SIZE, Scene, make_scene


def scene_path(folder: Path, seed: int) -> Path:
    """Return where scene `seed` lies in `folder`."""
    return folder / f"{seed // 1000:04d}" / f"{seed:07d}.npz"


def save_scene(folder: Path, seed: int) -> None:
    """Make scene `seed` and write it, whole or not at all; one that is there already is left as it is."""
    path = scene_path(folder, seed)
    if path.exists():
        return
    cv2.setNumThreads(1)
    scene = make_scene(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = cv2.imencode(".png", scene.image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
    part = path.with_suffix(f".{os.getpid()}.npz")
    np.savez_compressed(part, image=encoded, masks=np.packbits(scene.masks), count=len(scene.masks))
    part.replace(path)


def load_scene(folder: Path, seed: int) -> Scene:
    """Read scene `seed`, making it first where it is missing."""
    save_scene(folder, seed)
    with np.load(scene_path(folder, seed)) as stored:
        image = cv2.imdecode(stored["image"], cv2.IMREAD_COLOR)
        count = int(stored["count"])
        masks = np.unpackbits(stored["masks"], count=count * SIZE * SIZE).reshape(count, SIZE, SIZE).astype(bool)
    return Scene(np.asarray(image, np.uint8), masks)


def build_scenes(folder: Path, seeds: Iterable[int], jobs: int | None = None) -> None:
    """Make the scenes `seeds` in `folder` with a progress bar; goes on where an earlier call stopped."""
    missing = [seed for seed in seeds if not scene_path(folder, seed).exists()]
    if not missing:
        return
    # Forked workers would inherit OpenCV's threads in whatever state they are in, and wait for them forever.
    with ProcessPoolExecutor(jobs or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        made = pool.map(save_scene, [folder] * len(missing), missing, chunksize=16)
        for _ in track(made, total=len(missing), description=f"Making {len(missing)} scenes"):
            pass
