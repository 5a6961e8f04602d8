"""What every format of an export has: a card, and a writer that takes one image after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sam_backend.samples import Object
from sam_backend.segmenters.image_folder import IMAGE_SUFFIXES
from sam_evaluation.datasets.tally import Tally
from sam_evaluation.errors import EvaluationError
from sam_evaluation.exports.json_list import JsonList

TRAIN, VAL = "train", "val"


@dataclass(frozen=True)
class FormatCard:
    """What a user must know to choose a format.

    Attributes
    ----------
    name : str, the name in `--to name`.
    title : str.
    most_classes : int, the most classes that it holds; None without a limit.
    reserved : names that mean something else in the format.
    on_lines : bool, whether the name of a class is a line of a text file.
    suffixes : suffixes of the image files that its readers take, in small letters.
    """

    name: str
    title: str
    most_classes: int | None = None
    reserved: tuple[str, ...] = ()
    on_lines: bool = False
    suffixes: tuple[str, ...] = IMAGE_SUFFIXES


@dataclass(frozen=True, eq=False)
class ExportedImage:
    """An image of an export.

    Attributes
    ----------
    name : str, its file name, of which no other image has the stem.
    split : str, `TRAIN` or `VAL`.
    size : (H, W) in pixels.
    objects : sequence of Object.
    """

    name: str
    split: str
    size: tuple[int, int]
    objects: Sequence[Object]

    @property
    def stem(self) -> str:
        """The file name without its suffix."""
        return self.name.rpartition(".")[0]


class Classes:
    """The classes of an export in order; a label that is met for the first time is the next one.

    Parameters
    ----------
    card : FormatCard, what the format can hold.
    names : the classes that are known beforehand.

    Raises
    ------
    EvaluationError
        If the format cannot hold one of them, or so many.
    """

    def __init__(self, card: FormatCard, names: Sequence[str] = ()) -> None:
        self._card = card
        self._numbers: dict[str, int] = {}
        for name in names:
            self.number(name)

    @property
    def names(self) -> list[str]:
        """The names in the order of their numbers."""
        return list(self._numbers)

    def number(self, name: str) -> int:
        """Return the number of a class, from 0; errors as of the constructor."""
        if name not in self._numbers:
            self._check(name)
            self._numbers[name] = len(self._numbers)
        return self._numbers[name]

    def _check(self, name: str) -> None:
        most, title = self._card.most_classes, self._card.title
        if not name.isascii() and name != name.encode(errors="ignore").decode():
            raise EvaluationError(f"The name of the class {name!r} is no text; rename it in the project or the data.")
        if len(self._numbers) == most:
            raise EvaluationError(f"{title} holds at most {most:,} classes; {name!r} is one more.")
        if name in self._card.reserved:
            raise EvaluationError(f"In {title} {name!r} is no name of a class; rename it in the project or the data.")
        if self._card.on_lines and (not name.isprintable() or name != name.strip() or ":" in name or name[:1] == "#"):
            raise EvaluationError(
                f"{title} has the name of a class on a line, and {name!r} is none that it holds: no line breaks, no "
                "spaces at its ends, no colon, no # at its beginning. Rename it in the project or the data."
            )


class Writer(Protocol):
    """Writes a data set into an empty folder, image by image; no more than one image's masks are in memory.

    Parameters
    ----------
    folder : Path, the folder, which is there.
    classes : Classes.
    tally : Tally, counts what the format cannot hold.
    """

    card: FormatCard

    def __init__(self, folder: Path, classes: Classes, tally: Tally) -> None: ...

    def image_file(self, image: ExportedImage) -> Path:
        """Return where the file of an image belongs, in the folder."""

    def add(self, image: ExportedImage) -> None:
        """Write what is known of an image; its file is written already."""

    def close(self) -> None:
        """Write what can only be written after the last image."""


class SplitLists:
    """A list in a JSON file for each split, kept on disk.

    Parameters
    ----------
    folder : Path, for the files.
    prefix : str, of their names, for example `instances_`.
    key : str, what the list is called.
    """

    def __init__(self, folder: Path, prefix: str, key: str) -> None:
        self._folder, self._prefix, self._key = folder, prefix, key
        self._lists: dict[str, JsonList] = {}

    def of(self, split: str) -> JsonList:
        """Return the list of a split."""
        if split not in self._lists:
            self._lists[split] = JsonList(self._folder / f"{self._prefix}{split}.json", self._key)
        return self._lists[split]

    def close(self, others: Callable[[str], Mapping[str, Any]]) -> None:
        """Write what stands beside the list of each split."""
        for split, entries in self._lists.items():
            entries.close(others(split))


def box_of(target: Object) -> list[int]:
    """Return COCO's box of an object: x, y, width, height in pixels."""
    left, top, right, bottom = target.cropped.box
    return [left, top, right - left, bottom - top]
