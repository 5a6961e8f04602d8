"""Folders of one category each, and a folder that is itself one category."""

from __future__ import annotations

import os
from pathlib import Path

from sam_evaluation.datasets.sample_files import image_files


def names_by_category(folder: Path, images: str, pattern: str) -> list[str]:
    """Return `<category>/<images>/<...>` of the image files of all categories.

    Parameters
    ----------
    folder : of the categories, or of one category.
    images : the folder of images in a category; a folder that has it is a category.
    pattern : glob of the image files in `images`.
    """
    root = root_of_categories(folder, images)
    if _is_category(folder, images):
        found = [Path(os.path.abspath(folder)) / images]
    else:
        found = sorted(root.glob(f"*/{images}"))
    return [path.relative_to(root).as_posix() for inside in found for path in image_files(inside, pattern)]


def root_of_categories(folder: Path, images: str) -> Path:
    """Return what the names start from, so that a sample has one name however its folder was given."""
    # Not `resolve`: the category is called as the user calls it, even if that is a link to somewhere else.
    return Path(os.path.abspath(folder)).parent if _is_category(folder, images) else folder


def _is_category(folder: Path, images: str) -> bool:
    return (folder / images).is_dir()
