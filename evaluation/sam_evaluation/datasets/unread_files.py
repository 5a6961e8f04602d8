"""Counts files in the folders of a data set that its format does not read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from sam_evaluation.datasets.sample_files import IMAGE_SUFFIXES, image_files

_NO_IMAGES = (".txt", ".json", ".xml", ".yaml", ".yml", ".csv", ".md", ".cache", ".db", ".ini", ".npy", ".lst", ".log")
"""Suffixes of files that tools keep beside images."""


def files_of_unknown_kind(folder: Path, pattern: str = "*") -> dict[str, int]:
    """Return how many files in a folder of images are of a kind that is not read, by reason.

    Parameters
    ----------
    folder : Path; {} if it does not exist.
    pattern : str, a glob pattern of the image files in it.
    """
    suffixes = Counter(
        path.suffix.lower() or "none"
        for path in folder.glob(pattern)
        if not path.name.startswith((".", "~")) and path.suffix.lower() not in (*IMAGE_SUFFIXES, *_NO_IMAGES)
        if path.is_file()
    )
    return {f"file in {folder.name} of an unknown kind (suffix {suffix})": n for suffix, n in suffixes.most_common()}


def images_in_subfolders(folder: Path) -> dict[str, int]:
    """Return how many images lie in folders below a folder of which only its own images are read."""
    number = len(image_files(folder, "**/*")) - len(image_files(folder))
    return {f"image in a folder inside {folder.name}, where only its own images are read": number} if number else {}
