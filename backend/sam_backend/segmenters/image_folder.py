"""The image files of a folder."""

from __future__ import annotations

from pathlib import Path

from sam_backend.errors import BadRequestError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def images_in(folder: Path) -> list[Path]:
    """Return the image files of a folder and its subfolders, by their suffixes, sorted; hidden ones are no images.

    The folder may lie on a store.

    A link that leads nowhere is among them, so that whoever reads it says so.

    Raises
    ------
    BadRequestError
        If there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise BadRequestError(f"{folder} should be a folder with images; there is no such folder.")
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in IMAGE_SUFFIXES
        and not file.name.startswith(".")
        and (file.is_file() or not file.exists())
    )
    if not files:
        raise BadRequestError(f"{folder} holds no image; expected files that end in {', '.join(IMAGE_SUFFIXES)}.")
    return files
