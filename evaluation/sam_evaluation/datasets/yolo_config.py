"""The description of a YOLO data set: the names of its classes, and where the images of its splits are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from sam_backend.validation import checked
from sam_evaluation.datasets.image_finder import path_parts
from sam_evaluation.datasets.json_files import id_key
from sam_evaluation.datasets.sample_files import image_files
from sam_evaluation.datasets.text_files import lines_of, read_text
from sam_evaluation.errors import EvaluationError

SPLITS = ("train", "training", "val", "valid", "validation", "test")
"""Usual names of splits: a folder of such a name is never part of another split."""


class _Names(BaseModel, frozen=True):
    names: list[str | int | float | bool | None] | dict[str | int | float, str | int | float | bool | None]


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice: one of the two would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"'{twice[0]}' is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


@dataclass(frozen=True)
class YoloConfig:
    """The content of data.yaml, or of the file of classes without it.

    Attributes
    ----------
    given : Path, the folder of the data set, or its YAML file.
    layout : str, the layout that was expected, for errors.
    """

    given: Path
    layout: str

    @property
    def root(self) -> Path:
        """The folder of the data set."""
        return self.given.parent if self.given.is_file() else self.given

    @cached_property
    def file(self) -> Path | None:
        """The YAML file: data.yaml, or the only one with names of classes beside the images; None without any."""
        if self.given.is_file():
            return self.given
        for name in ("data.yaml", "data.yml"):
            if (self.root / name).is_file():
                return self.root / name
        files = sorted([*self.root.glob("*.yaml"), *self.root.glob("*.yml")])
        named = [file for file in files if "names:" in read_text(file, EvaluationError)]
        if len(named) > 1:
            raise EvaluationError(
                f"{self.root} has several files with names of classes ({', '.join(file.name for file in named)}); "
                "give the one to use by its path, or call it data.yaml."
            )
        return named[0] if named else None

    @cached_property
    def content(self) -> Mapping[str, Any]:
        """The content of the YAML file; {} without one."""
        if self.file is None:
            return {}
        text = read_text(self.file, EvaluationError)
        try:
            content = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader # nosec B506
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            raise EvaluationError(f"{self.file} is not valid YAML ({' '.join(str(error).split())}).") from None
        if not isinstance(content, dict):
            raise EvaluationError(
                f"{self.file} should hold the names of the classes and the folders of the splits; see "
                "https://docs.ultralytics.com/datasets/segment/."
            )
        if "kpt_shape" in content:
            raise EvaluationError(
                f"{self.file} describes poses (kpt_shape): a row is a box with key points, and outlines are needed."
            )
        return content

    @cached_property
    def classes(self) -> Mapping[float, str]:
        """The name of each class by its number.

        Raises
        ------
        EvaluationError
            If nothing names the classes.
        """
        listed = self.root / "classes.txt"
        if self.file is not None and ("names" in self.content or not listed.is_file()):
            names = checked(_Names, dict(self.content), str(self.file), EvaluationError).names
            pairs = names.items() if isinstance(names, dict) else enumerate(names)
            return {float(key): _name(key, name) for number, name in pairs if isinstance(key := id_key(number), int)}
        if not listed.is_file():
            raise EvaluationError(f"{self.root} has no names of classes. Expected: {self.layout}")
        lines = lines_of(read_text(listed, EvaluationError))
        return {float(number): line for number, line in enumerate(lines) if line}

    def places(self, split: str) -> list[str] | None:
        """Return the folders and lists that the YAML file names for a split; None if it does not name the split."""
        value = self.content.get(split)
        if not value:
            return None
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(place, str) for place in values):
            raise EvaluationError(f"{self.file} should name folders or lists of images for {split}; got {value}.")
        return values

    @property
    def base(self) -> Path:
        """The folder that the YAML file's paths are relative to."""
        return self.root / str(self.content.get("path") or "").replace("\\", "/")

    def find(self, place: str) -> tuple[Path, str]:
        """Return a folder with images, or a list of images, that the YAML file names, and a note, mostly "".

        Raises
        ------
        EvaluationError
            If it is not there: another folder is never read in its place.
        """
        written = place.replace("\\", "/")
        # Roboflow writes ../valid/images for a folder beside data.yaml.
        for path in (self.base / written, self.root / written, self.root / written.removeprefix("../")):
            if _has_images(path):
                is_elsewhere = os.path.isabs(str(self.content.get("path") or "")) and not self.base.is_dir()
                return path, f"{self.base} is not here; {path} was read instead" if is_elsewhere else ""
        parts = path_parts(f"{self.base.as_posix()}/{written}" if not os.path.isabs(written) else written)
        if not (self.base.is_dir() and not os.path.isabs(written) and ":" not in written[:2]):
            for start in range(len(parts)):
                path = self.root.joinpath(*parts[start:])
                if _has_images(path):
                    return path, f"{place} is not here; {path} was read instead"
        raise EvaluationError(
            f"{self.file} names {place}, and no such folder with images, or list of images, is in {self.base}. "
            f"{self.splits()}"
        )

    def splits(self) -> str:
        """Return a sentence that lists the splits that are there."""
        named = [split for split in SPLITS if any(map(self._is_there, self.places(split) or ()))]
        folders = {path.name for path in (self.root / "images").glob("*") if image_files(path, "**/*")}
        folders |= {path.parent.name for path in self.root.glob("*/images") if image_files(path, "**/*")}
        there = list(dict.fromkeys([*named, *sorted(folders)]))
        how = f"; name one with @{there[0]} after the folder" if there else ""
        return f"The splits there are: {', '.join(there) or 'none'}{how}."

    def _is_there(self, place: str) -> bool:
        written = place.replace("\\", "/")
        paths = (self.base / written, self.root / written, self.root / written.removeprefix("../"))
        return any(map(_has_images, paths))


def listed_images(file: Path) -> Iterator[str]:
    """Yield the paths in a list of images, one a line."""
    yield from filter(None, lines_of(read_text(file, EvaluationError)))


def _has_images(path: Path) -> bool:
    try:
        if path.suffix.lower() == ".txt":
            return path.is_file()
        return bool(image_files(path, "**/*"))
    except (OSError, ValueError):
        return False


def _name(number: int, name: object) -> str:
    return f"class {number}" if name is None or name == "" else str(name)
