"""Which image a region of an export lies on: its `to_name` and `item_index` -> an address among the task's data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from sam_backend.segmenters.image_folder import IMAGE_SUFFIXES
from sam_evaluation.errors import BrokenSampleError


@dataclass(frozen=True)
class ImageFields:
    """The fields of a task's data that hold an image's address, or a list of such, with the paths in the addresses."""

    paths: Mapping[str, tuple[PurePosixPath, ...]]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> ImageFields:
        """Pick the fields out of a task's data."""
        paths = {}
        for field, value in data.items():
            addresses = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
            several = tuple(map(_url_path, addresses))
            if any(path.suffix.lower() in IMAGE_SUFFIXES for path in several):
                paths[field] = several
        return cls(paths)

    def find(self, to_name: str, item_index: int, unknown: Collection[str]) -> PurePosixPath:
        """Return the path of the image that a region lies on.

        The name of an image tag is mostly that of its field. Where it is not, the task's only field is meant, or the
        field 'image', which can be the field of one such tag.

        Parameters
        ----------
        to_name : str, the name of the region's image tag; "" where it has none.
        item_index : int, which image of a list, from 0.
        unknown : names of all image tags of the export that are no fields.

        Raises
        ------
        BrokenSampleError
            If the data name no such image; the reason goes on after the task's name.
        """
        if not self.paths:
            raise BrokenSampleError("names no image; its data should hold the image's URL.")
        if to_name in self.paths:
            field = to_name
        elif len(self.paths) == 1:
            (field,) = self.paths
        elif "image" in self.paths and len(unknown) <= 1:
            field = "image"
        else:
            advice = "call the annotated one 'image'"
            if len(unknown) > 1:
                advice = f"call them as the labeling config calls the images: {', '.join(sorted(unknown))}"
            raise BrokenSampleError(f"names several images ({', '.join(self.paths)}); {advice}.")
        paths = self.paths[field]
        if not 0 <= item_index < len(paths):
            raise BrokenSampleError(f"has a region on image {item_index + 1} of '{field}', which holds {len(paths)}.")
        return paths[item_index]

    def name(self, task: int, path: PurePosixPath) -> str:
        """Return `<task>/<file>`, or `<task>/<number>/<file>` where another image of the task has that file name."""
        paths = [one for several in self.paths.values() for one in several]
        alike = [one for one in dict.fromkeys(paths) if one.name == path.name]
        return f"{task}/{path.name}" if alike[0] == path else f"{task}/{paths.index(path)}/{path.name}"


def _url_path(url: str) -> PurePosixPath:
    try:
        parts = urlsplit(url)
    except ValueError:
        return PurePosixPath()
    # Files of a local storage are all served at one path, which takes theirs as a query.
    served = parse_qs(parts.query).get("d") if parts.path.rstrip("/").endswith("/data/local-files") else None
    path = served[0] if served else unquote(parts.path)
    # A path of Windows: C:\\parts\\a.png, of which urlsplit takes C for a scheme.
    return PurePosixPath(path.replace("\\", "/"))
