"""Which image of a data set the image of a task is: by its file name."""

from __future__ import annotations

from collections.abc import Sequence

from sam_backend.segmenters.image_folder import IMAGE_SUFFIXES
from sam_evaluation.datasets.image_finder import UPLOADED, common_end, path_parts
from sam_evaluation.datasets.label_studio import stored_name
from sam_evaluation.exports.names import FileNames


class ImageNames:
    """The names of a data set's samples, found by the addresses of images.

    Parameters
    ----------
    names : the names of the samples, mostly paths of images.

    Attributes
    ----------
    every : sequence of str, the names.
    stems : dict, for each name a stem for its upload, by which it alone is found.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.every = names
        self._by_key: dict[str, list[str]] = {}
        for name in names:
            self._by_key.setdefault(_key(name.rpartition("/")[2]), []).append(name)
        files, self.stems = FileNames(), dict[str, str]()
        for several in self._by_key.values():
            for name in several:
                # Of two images of a name, neither is uploaded under it: it would be found for both.
                path = "_".join(path_parts(name)) if len(several) > 1 else name
                self.stems[name] = files.stem(_with_suffix(path), "")
        self._uploaded = {_key(stem + IMAGE_SUFFIXES[0]): name for name, stem in self.stems.items()}

    def find(self, address: str) -> str | None:
        """Return the name of the image at an address; None if there is none, or several that may be meant."""
        parts = path_parts(address)
        uploaded = UPLOADED.fullmatch(parts[-1]) if parts else None
        for text in (*parts[-1:], *([uploaded[1]] if uploaded else [])):
            if _key(text) in self._uploaded:
                return self._uploaded[_key(text)]
            several = self._by_key.get(_key(text), [])
            shared = [common_end(path_parts(name)[:-1], parts[:-1]) for name in several]
            if several and shared.count(max(shared)) == 1:
                return several[shared.index(max(shared))]
        return None


def _with_suffix(name: str) -> str:
    """Return a name with the suffix of an image: those of some formats have none."""
    return name if _stem(name) != name else name + IMAGE_SUFFIXES[0]


def _key(name: str) -> str:
    """Return the stem of a file's name as Label Studio stores it, in small letters."""
    return stored_name(_stem(name)).casefold()


def _stem(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if f"{dot}{suffix}".lower() in (*IMAGE_SUFFIXES, ".json") else name
