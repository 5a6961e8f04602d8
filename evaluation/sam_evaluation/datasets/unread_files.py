"""Counts files in the folders of a data set that its format does not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from sam_backend.segmenters.image_folder import IMAGE_SUFFIXES
from sam_evaluation.datasets.sample_files import image_files

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


def files_without_use(images: Iterable[Path], masks: Iterable[Path], folders: Iterable[Path]) -> dict[str, int]:
    """Return how many files below folders a format does not read, by reason.

    Parameters
    ----------
    images, masks : paths that the format reads; a mask need not exist.
    folders : folders of images and masks, searched with all folders in them.
    """
    read = {*images, *masks}
    counts: Counter[str] = Counter()
    for folder in dict.fromkeys(folders):
        unused = sum(path not in read for path in image_files(folder, "**/*"))
        counts[f"file in {folder.name} that is neither an image of the layout nor the mask of one"] += unused
        counts.update(files_of_unknown_kind(folder, "**/*"))
    return dict(counts)
