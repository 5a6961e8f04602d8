"""YOLO's segmentation format: one text file of polygons per image."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from sam_backend.arrays import BoolArray, ImageArray
from sam_backend.polygons import polygon_mask
from sam_backend.samples import Sample
from sam_backend.stores import absolute
from sam_evaluation.datasets.boxes import BoxedImage, DrawnBox, inside, unknown_class
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.image_finder import ImageFinder, path_parts
from sam_evaluation.datasets.instances import objects_of_instances
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule
from sam_evaluation.datasets.sample_files import image_files, read_image, require_some
from sam_evaluation.datasets.tally import OddShapeError, Tally
from sam_evaluation.datasets.unread_files import files_of_unknown_kind
from sam_evaluation.datasets.yolo_config import SPLITS, YoloConfig, listed_images
from sam_evaluation.datasets.yolo_rows import read_box, read_polygon, rows_of
from sam_evaluation.errors import BrokenSampleError, EvaluationError


@dataclass(frozen=True)
class _Split:
    """The images of a split.

    Attributes
    ----------
    images : dict, the file of each image by its name, or its path as it stands in a list.
    folders : the folders that hold them, if they are not listed.
    left_out : counts of what is no image of the split.
    notes : what was read otherwise than written.
    """

    images: dict[str, Path | str]
    folders: tuple[Path, ...]
    left_out: Mapping[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Yolo(Dataset):
    """Rows of `class x1 y1 x2 y2 ...` with coordinates from 0 to 1 of the width and height; every row is one object.

    An image without a text file, or with an empty one, has no objects.

    Parameters
    ----------
    folder : Path, the folder of the data set, or its YAML file.
    rule : ObjectRule, of which only `min_area` applies.
    split : str, the name of a split in data.yaml, or of its folder.
    """

    folder: Path
    rule: ObjectRule = DEFAULT_RULE
    split: str = "val"

    card = DatasetCard(
        name="yolo",
        title="YOLO segmentation",
        layout="data.yaml with names (or classes.txt, one per line), and images/<split>/ with labels/<split>/*.txt, or "
        "<split>/images/ with <split>/labels/, or images/ with labels/; data.yaml may name the folder of a split.",
        licence="of the data set in this format",
        source="https://docs.ultralytics.com/datasets/segment/",
    )

    def names(self) -> Sequence[str]:
        """Return the paths of the image files of the split, relative to the folder of its images."""
        return require_some(self._split.images, self._config.root, self.card.layout)

    def classes(self) -> Sequence[str]:
        """Return the names of all classes, in the order of their numbers."""
        return tuple(dict.fromkeys(self._config.classes[number] for number in sorted(self._config.classes)))

    def left_out(self) -> Mapping[str, int]:
        """Return the counts of files that are no image, no label file, or belong to no image."""
        counts = Counter(self._split.left_out)
        for folder in self._split.folders:
            counts.update(files_of_unknown_kind(folder, "**/*"))
        used = {self._label_key(path) for path in self._split.images.values() if isinstance(path, Path)}
        unused = [path for key, path in self._label_files.items() if key not in used] if used else []
        if unused:
            counts[f"label file without an image (first: {unused[0].name})"] = len(unused)
        return counts

    def notes(self) -> Sequence[str]:
        """Return which folder was read in the place of one on another machine."""
        return self._split.notes

    def load(self, name: str) -> Sample:
        """Read an image and its polygons."""
        tally = Tally()
        file, image, path = self._read(name, tally)
        instances = self._instances(path, (image.shape[0], image.shape[1]), tally)
        return tally.sample(name, image, objects_of_instances(instances, self.rule, tally), file)

    def boxes(self, name: str) -> BoxedImage:
        """Read an image and its boxes, rows of `class x y width height` with the middle of the box, from 0 to 1."""
        tally = Tally()
        file, image, path = self._read(name, tally)
        size, boxes = (image.shape[0], image.shape[1]), []
        for row, where in rows_of(path):
            try:
                label, box = read_box(row, where)
                if label not in self._config.classes:
                    raise unknown_class(f"{label:g}", where)
                boxes.append(DrawnBox(inside(box * np.tile(size[::-1], 2), size, where), int(label)))
            except OddShapeError as error:
                tally.odd(error, where)
        return BoxedImage(name, file, image, boxes, (), tally)

    def coco_head(self) -> dict[str, Any]:
        """Return the images by their names, and the classes."""
        return {
            "images": [{"id": number, "file_name": name} for number, name in enumerate(self.names(), start=1)],
            "categories": [{"id": int(number), "name": label} for number, label in self._config.classes.items()],
        }

    def _read(self, name: str, tally: Tally) -> tuple[Path, ImageArray, Path]:
        """Return the file of an image, its pixels, and its file of labels, which may not be there."""
        place = self._split.images.get(name)
        if place is None:
            raise BrokenSampleError(f"The split {self.split} of {self._config.root} has no image {name}.")
        if isinstance(place, str):
            place, note = self._finder.find(place)
            tally.note(note)
        labels = self._label_files.get(self._label_key(place)) or _label_path(place, self._config.root)
        return place, read_image(place), labels

    def _instances(self, path: Path, size: tuple[int, int], tally: Tally) -> Iterator[tuple[BoolArray, str]]:
        classes = self._config.classes
        for row, where in rows_of(path):
            try:
                label, points = read_polygon(row, where)
            except OddShapeError as error:
                tally.odd(error, where)
                continue
            if label not in classes:
                tally.note(f"class {label:g} has no name; its objects are measured under its number")
            yield polygon_mask(points * (size[1], size[0]), size), classes.get(label, f"class {label:g}")

    @cached_property
    def _config(self) -> YoloConfig:
        return YoloConfig(self.folder, self.card.layout)

    @cached_property
    def _split(self) -> _Split:
        config = self._config
        # Names of classes that cannot be read are reported before any image is read.
        _ = config.classes
        places = config.places(self.split)
        if places is None:
            return self._split_of_folders([self._folder_by_name()])
        found = [config.find(place) for place in places]
        notes = [note for _, note in found if note]
        lists = [path for path, _ in found if path.suffix.lower() == ".txt"]
        if lists:
            if len(lists) < len(found):
                raise EvaluationError(f"{config.file} names folders and lists for {self.split}; name one kind.")
            return _split_of_lists(lists, notes)
        return self._split_of_folders([path for path, _ in found], notes)

    def _folder_by_name(self) -> Path:
        """Return the folder of the split's images where data.yaml does not name it."""
        root = self._config.root
        for images in (root / "images" / self.split, root / self.split / "images"):
            if image_files(images, "**/*"):
                return images
        flat = next((folder for folder in (root / "images", root) if image_files(folder)), None)
        if flat is not None and self.split == Yolo.split:
            return flat
        undivided = f" The images in {flat} are not divided; leave @{self.split} out to read them." if flat else ""
        raise EvaluationError(
            f"{root} holds no images of the split {self.split}. Expected: {self.card.layout} "
            f"{self._config.splits()}{undivided}"
        )

    def _split_of_folders(self, folders: Sequence[Path], notes: Sequence[str] = ()) -> _Split:
        images: dict[str, Path | str] = {}
        left_out: Counter[str] = Counter()
        common = os.path.commonpath([PurePath(*absolute(folder).parts) for folder in folders])
        for folder in folders:
            is_flat = folder in (self._config.root, self._config.root / "images")
            files = _split_of_flat(folder) if is_flat else image_files(folder, "**/*")
            if is_flat and (other := len(image_files(folder, "**/*")) - len(files)):
                left_out[f"image in a folder of a split inside {folder.name}"] += other
            self._require_labels(folder, files)
            for path in files:
                name = path.relative_to(folder).as_posix()
                if name in images:
                    name = absolute(path).relative_to(common).as_posix()
                images[name] = path
        return _Split(images, tuple(folders), left_out, tuple(notes))

    def _require_labels(self, folder: Path, files: Sequence[Path]) -> None:
        labels = _label_path(folder / "x.png", self._config.root).parent
        beside = labels == folder and not any(path.with_suffix(".txt").is_file() for path in files)
        if beside or not labels.is_dir():
            raise EvaluationError(f"{folder} has no folder of labels. Expected: {self.card.layout}")

    @cached_property
    def _finder(self) -> ImageFinder:
        root, base = self._config.root, self._config.base
        lists = [self._config.find(place)[0].parent for place in self._config.places(self.split) or ()]
        written = [place for place in self._split.images.values() if isinstance(place, str)]
        return ImageFinder(base if base.is_dir() else root, tuple(dict.fromkeys([*lists, base, root])), written)

    @cached_property
    def _label_files(self) -> dict[str, Path]:
        """The label files of the split's folders by `_label_key`: their names may have accents composed differently."""
        folders = {_label_path(folder / "x.png", self._config.root).parent for folder in self._split.folders}
        files = sorted(path for folder in folders for path in folder.rglob("*.txt"))
        images = {path.parent for path in self._split.images.values() if isinstance(path, Path)}
        # Lists of classes lie beside the labels.
        lists = ("classes.txt", "labels.txt", "train.txt", "val.txt", "test.txt", "obj.names.txt")
        return {_key(path): path for path in files if path.name not in lists or path.parent not in (folders | images)}

    def _label_key(self, image: Path) -> str:
        return _key(_label_path(image, self._config.root))


def _split_of_lists(lists: Sequence[Path], notes: Sequence[str]) -> _Split:
    """Return the images that lists name; a name is the path without the folders that all have in common."""
    lines = [line for file in lists for line in listed_images(file)]
    written = list(dict.fromkeys(lines))
    parts = [path_parts(line) for line in written]
    levels = zip(*(part[:-1] for part in parts), strict=False)
    common = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
    images: dict[str, Path | str] = {
        "/".join(part[common:]): line for part, line in zip(parts, written, strict=True) if part
    }
    twice = len(lines) - len(images)
    return _Split(images, (), {"image that is listed twice": twice} if twice else {}, tuple(notes))


def _split_of_flat(folder: Path) -> list[Path]:
    """Return the images in a folder that is not divided, without those in folders that are named like a split."""
    files = image_files(folder, "**/*")
    return [path for path in files if path.relative_to(folder).parts[0] not in SPLITS or path.parent == folder]


def _label_path(image: Path, root: Path) -> Path:
    """Return the label file of an image: the last `images` in its path becomes `labels`; without, it is beside it."""
    try:
        inside = image.relative_to(root)
    except ValueError:
        root, inside = Path(), image
    parts = list(inside.parts)
    places = [index for index, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return root.joinpath(*parts).with_suffix(".txt")


def _key(path: Path) -> str:
    return unicodedata.normalize("NFC", str(absolute(path)))
