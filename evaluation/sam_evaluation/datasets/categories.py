"""Data sets of several categories, one folder per category, or of a single category."""

from __future__ import annotations

from pathlib import Path

from sam_backend.stores import absolute
from sam_evaluation.datasets.sample_files import image_files


def names_by_category(folder: Path, images: str, pattern: str) -> list[str]:
    """Return the names `<category>/<images>/<path>` of the image files of all categories.

    Parameters
    ----------
    folder : Path, the folder that holds the categories, or the folder of one category.
    images : str, the path of the image folder inside a category; a folder that contains it is a category.
    pattern : str, a glob pattern of the image files inside `images`.
    """
    root = root_of_categories(folder, images)
    of_one = [absolute(folder) / images] if _is_category(folder, images) else []
    image_folders = of_one or sorted(root.glob(f"*/{images}"))
    return [
        path.relative_to(root).as_posix()
        for images_of_one in image_folders
        for path in image_files(images_of_one, pattern)
    ]


def root_of_categories(folder: Path, images: str) -> Path:
    """Return the folder that names are relative to: a sample has the same name for every way to give its folder."""
    # Not `resolve`: a category keeps the name that the user gave, even if its folder is a symbolic link.
    return absolute(folder).parent if _is_category(folder, images) else folder


def _is_category(folder: Path, images: str) -> bool:
    return (folder / images).is_dir()
