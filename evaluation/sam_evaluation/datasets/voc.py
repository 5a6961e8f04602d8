"""Pascal VOC's segmentation format."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam_backend.samples import Sample
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.instances import numbered_instances, objects_of_instances
from sam_evaluation.datasets.label_files import decode_mask, labels_of, packed_colours
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule, objects_of_labels
from sam_evaluation.datasets.pixel_values import distinct_values, row_blocks
from sam_evaluation.datasets.sample_files import image_files, read_image, require_size, require_some
from sam_evaluation.datasets.tally import Tally
from sam_evaluation.datasets.text_files import lines_of, read_text
from sam_evaluation.datasets.unread_files import files_of_unknown_kind
from sam_evaluation.errors import BrokenSampleError, EvaluationError

_VOID = 255
_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)

_CLASS_LISTS = ("class_names.txt", "labels.txt", "classes.txt")
"""Lists of classes, one a line, that labelme2voc and other tools write; `labelmap.txt` also has colours."""

_NO_CLASSES = ("__ignore__", "_background_", "__background__", "background")
_FLAG = re.compile(r"(.*\S)\s+(?:-1|0|1)")
"""A line of a list for one class: a name, and whether the image holds the class."""


def palette() -> NDArray[np.uint8]:
    """Return VOC's colours, uint8 (256, 3): the bits of an index go to red, green and blue in turn."""
    index, channel = np.arange(256)[:, None], np.arange(3)[None]
    bits = [(index >> (3 * place + channel) & 1) << (7 - place) for place in range(3)]
    colours: NDArray[np.uint8] = np.sum(bits, axis=0).astype(np.uint8)
    return colours


@dataclass(frozen=True)
class Voc(Dataset):
    """Label maps with the indices or the colours of VOC's palette; index 255, the void along outlines, is no object.

    If there is a file SegmentationObject/<name>.png, the instances in it are the objects; otherwise `rule` divides the
    label map into objects. The classes are those of VOC, or the names and colours of labelmap.txt, or the names of
    class_names.txt, labels.txt or classes.txt, which annotation tools export.

    Parameters
    ----------
    folder : Path, the folder of the data set.
    rule : ObjectRule, how label maps become objects.
    split : str, the name of a list in ImageSets/Segmentation.
    """

    folder: Path
    rule: ObjectRule = DEFAULT_RULE
    split: str = "val"

    card = DatasetCard(
        name="voc",
        title="Pascal VOC segmentation",
        layout=(
            "JPEGImages/*.jpg, SegmentationClass/*.png, and optionally SegmentationObject/*.png, labelmap.txt (lines "
            "of name:red,green,blue::), and ImageSets/Segmentation/<split>.txt; without that folder all label maps "
            "count."
        ),
        licence="of the data set in this format; of VOC itself see http://host.robots.ox.ac.uk/pascal/VOC/",
        source="http://host.robots.ox.ac.uk/pascal/VOC/",
        citation="Everingham et al., The Pascal visual object classes (VOC) challenge, IJCV 88, 2010",
    )

    def names(self) -> Sequence[str]:
        """Return the paths of the split's images in JPEGImages, without suffix."""
        self._require_label_maps()
        sets = self.folder / "ImageSets" / "Segmentation"
        if not sets.is_dir():
            return require_some(self._label_maps, self.folder, self.card.layout)
        file = sets / f"{self.split}.txt"
        if not file.is_file():
            known = ", ".join(sorted(path.stem for path in sets.glob("*.txt"))) or "none"
            raise EvaluationError(f"{file} cannot be read; use one of the splits in this folder ({known}).")
        lines = filter(None, lines_of(read_text(file, EvaluationError)))
        return require_some(set(map(self._name_in_list, lines)), file, self.card.layout)

    def classes(self) -> Sequence[str]:
        """Return the names of all classes, in the order of their values."""
        return tuple(self._classes.values())

    def left_out(self) -> Mapping[str, int]:
        """Return the counts of images without a label map, where no list names the images, and of unread files."""
        counts = Counter(files_of_unknown_kind(self.folder / "JPEGImages", "**/*"))
        counts.update(files_of_unknown_kind(self.folder / "SegmentationClass", "**/*"))
        if not (self.folder / "ImageSets" / "Segmentation").is_dir():
            without = len(self._images.keys() - set(map(_normal, self._label_maps)))
            counts["image without a label map"] += without
        return counts

    def notes(self) -> Sequence[str]:
        """Return a note where the folder may have classes of its own, in a file that is not read."""
        others = sorted(path.name for path in self.folder.glob("*") if path.suffix in (".txt", ".names", ".csv"))
        if self._class_list is not None or self._map is not None or not others:
            return ()
        return [f"the classes are those of VOC; {', '.join(others)} is not read: name classes in {_CLASS_LISTS[0]}"]

    def load(self, name: str) -> Sample:
        """Read an image and its objects."""
        folder = (self.folder / "JPEGImages" / name).parent
        images = self._images.get(_normal(name)) or [path for path in image_files(folder) if path.stem == name]
        if not images:
            raise BrokenSampleError(f"{self.folder / 'JPEGImages'} holds no image {name}; put it there.")
        if len(images) > 1:
            raise BrokenSampleError(
                f"The image {name} may be {' or '.join(path.name for path in images)}; keep the annotated one."
            )
        image = read_image(images[0])
        path = self._file_of("SegmentationClass", name)
        labels = _read_indices(path, self._colours)
        require_size(image, labels, path)
        labels[labels == _VOID] = 0
        instances = self._file_of("SegmentationObject", name)
        if not instances.is_file():
            return Sample(name, image, objects_of_labels(labels, self._classes, self.rule), file=images[0])
        numbers = _read_indices(instances, None)
        require_size(image, numbers, instances)
        tally = Tally()
        numbers[numbers == _VOID] = 0
        masks = numbered_instances(numbers, labels, self._classes, instances, tally)
        return tally.sample(name, image, objects_of_instances(masks, self.rule, tally), images[0])

    def _require_label_maps(self) -> None:
        if (self.folder / "SegmentationClass").is_dir():
            return
        if any((self.folder / "Annotations").glob("*.xml")):
            raise EvaluationError(
                f"{self.folder} holds boxes (Annotations/*.xml) and no folder SegmentationClass; "
                "boxes are no outlines. Export masks."
            )
        raise EvaluationError(f"{self.folder} has no folder SegmentationClass. Expected: {self.card.layout}")

    def _name_in_list(self, line: str) -> str:
        """Return the name of the image that a line of a list means."""
        flagged = _FLAG.fullmatch(line)
        for text in (line, *([flagged[1]] if flagged else [])):
            path = Path(text.replace("\\", "/").removeprefix("./"))
            for name in (path.as_posix(), path.with_suffix("").as_posix(), path.name, path.stem):
                if _normal(name) in self._images:
                    return name
        return line

    @cached_property
    def _images(self) -> dict[str, list[Path]]:
        """The image files by the normalised form of their paths without suffix."""
        root = self.folder / "JPEGImages"
        images: dict[str, list[Path]] = {}
        for path in image_files(root, "**/*"):
            images.setdefault(_normal(path.relative_to(root).with_suffix("").as_posix()), []).append(path)
        return images

    @cached_property
    def _label_maps(self) -> list[str]:
        root = self.folder / "SegmentationClass"
        return [path.relative_to(root).with_suffix("").as_posix() for path in image_files(root, "**/*.png")]

    def _file_of(self, part: str, name: str) -> Path:
        """Return the PNG file of an image; accents in its name may be composed differently."""
        path = self.folder / part / f"{name}.png"
        if path.is_file():
            return path
        return next((one for one in path.parent.glob("*.png") if _normal(one.name) == _normal(path.name)), path)

    @cached_property
    def _map(self) -> dict[str, tuple[int, int, int]] | None:
        """The colour of each class in labelmap.txt, or None without that file."""
        path = self.folder / "labelmap.txt"
        if not path.is_file():
            return None
        colours: dict[str, tuple[int, int, int]] = {}
        for line in lines_of(read_text(path, EvaluationError)):
            if not line or line.startswith("#"):
                continue
            name, _, rest = line.partition(":")
            try:
                red, green, blue = (int(value) for value in rest.split(":")[0].split(","))
            except ValueError:
                raise EvaluationError(f"{path} needs lines of name:red,green,blue::; got '{line}'.") from None
            if name.strip() in colours or (red, green, blue) in colours.values():
                raise EvaluationError(f"{path} has the name or the colour of '{line}' twice; classes would be merged.")
            colours[name.strip()] = (red, green, blue)
        return colours

    @cached_property
    def _class_list(self) -> list[str] | None:
        """The names of the values from 1 on, of a list of classes; None without one."""
        path = next((self.folder / name for name in _CLASS_LISTS if (self.folder / name).is_file()), None)
        if path is None:
            return None
        lines = lines_of(read_text(path, EvaluationError))
        while lines and not lines[-1]:
            lines.pop()
        while lines and lines[0] in _NO_CLASSES:
            lines.pop(0)
        return lines

    @cached_property
    def _classes(self) -> Mapping[int, str]:
        """The name of each value that `_read_indices` returns; 0, the background, has none."""
        names: Sequence[str] = _CLASSES if self._class_list is None else self._class_list
        if self._map is not None:
            names = [name for name in self._map if name != "background"]
        return {value: name for value, name in enumerate(names, start=1) if name}

    @cached_property
    def _colours(self) -> dict[tuple[int, int, int], int] | None:
        if self._map is None:
            return None
        values = {self._map[name]: value for value, name in self._classes.items()}
        return {(0, 0, 0): 0, (224, 224, 192): _VOID, self._map.get("background", (0, 0, 0)): 0} | values


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _read_indices(path: Path, colours: Mapping[tuple[int, int, int], int] | None) -> NDArray[np.integer]:
    """Return the label map, integers (H, W), of a file with a palette or with colours.

    Parameters
    ----------
    path : Path, the PNG file.
    colours : Mapping or None, the value of each colour (red, green, blue). With None, the values are the indices of the
        file's palette, or the indices of its colours in VOC's palette.

    Raises
    ------
    BrokenSampleError
        If the file cannot be read or has a colour without a value.
    """
    mask = decode_mask(path)
    if mask.decoded.mode not in ("P", "RGB", "RGBA", "LA") or (mask.decoded.mode == "P" and colours is None):
        return labels_of(mask, path)
    packed = packed_colours(mask, path)
    if colours is None:
        colours = {(red, green, blue): index for index, (red, green, blue) in enumerate(palette().tolist())}
    distinct = distinct_values(packed)
    values = []
    for colour in distinct.tolist():
        rgb = colour >> 16, colour >> 8 & 255, colour & 255
        if rgb not in colours:
            raise BrokenSampleError(f"The mask {path} holds the colour {rgb}, which is not the value of a class.")
        values.append(colours[rgb])
    for rows in row_blocks(packed):
        packed[rows] = np.array(values, np.int32)[np.searchsorted(distinct, packed[rows])]
    return packed
