"""Pascal VOC's segmentation format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam_backend.arrays import BoolArray
from sam_backend.samples import Sample
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.instances import objects_of_instances
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule, objects_of_labels
from sam_evaluation.datasets.sample_files import image_files, read_image, read_labels, require_size, require_some
from sam_evaluation.errors import BrokenSampleError, EvaluationError

_VOID = 255
_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


def _palette() -> NDArray[np.uint8]:
    """Return VOC's colours, uint8 (256, 3): the bits of an index go to red, green and blue in turn."""
    index, channel = np.arange(256)[:, None], np.arange(3)[None]
    bits = [(index >> (3 * place + channel) & 1) << (7 - place) for place in range(3)]
    colours: NDArray[np.uint8] = np.sum(bits, axis=0).astype(np.uint8)
    return colours


@dataclass(frozen=True)
class Voc(Dataset):
    """Label maps with the indices or the colours of VOC's palette; index 255, the void along outlines, is no object.

    If there is a file SegmentationObject/<name>.png, the instances in it are the objects; otherwise `rule` divides the
    label map into objects. The classes are those of VOC, or the names and colours of labelmap.txt, which annotation
    tools export.

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
        """Return the names of the split's images, without suffix."""
        sets = self.folder / "ImageSets" / "Segmentation"
        if not sets.is_dir():
            label_maps = image_files(self.folder / "SegmentationClass", "*.png")
            return require_some((path.stem for path in label_maps), self.folder, self.card.layout)
        file = sets / f"{self.split}.txt"
        try:
            names = file.read_text(encoding="utf-8").split()
        except (OSError, ValueError):
            known = ", ".join(sorted(path.stem for path in sets.glob("*.txt"))) or "none"
            raise EvaluationError(f"{file} cannot be read; use one of the splits in this folder ({known}).") from None
        return require_some(set(names), file, self.card.layout)

    def load(self, name: str) -> Sample:
        """Read an image and its objects."""
        images = [path for path in image_files(self.folder / "JPEGImages") if path.stem == name]
        if not images:
            raise BrokenSampleError(f"{self.folder / 'JPEGImages'} holds no image {name}; put it there.")
        image = read_image(images[0])
        path = self.folder / "SegmentationClass" / f"{name}.png"
        labels = _read_indices(path, self._colours)
        require_size(image, labels, path)
        labels[labels == _VOID] = 0
        instances = self.folder / "SegmentationObject" / f"{name}.png"
        if not instances.is_file():
            return Sample(name, image, objects_of_labels(labels, self._classes, self.rule))
        numbers = _read_indices(instances, None)
        require_size(image, numbers, instances)
        return Sample(name, image, objects_of_instances(self._instances(numbers, labels, instances), self.rule))

    def _instances(
        self, numbers: NDArray[np.int64], labels: NDArray[np.int64], path: Path
    ) -> Iterator[tuple[BoolArray, str]]:
        for number in np.unique(numbers[(numbers > 0) & (numbers != _VOID)]).tolist():
            mask = numbers == number
            values, counts = np.unique(labels[mask], return_counts=True)
            # The class of most of its pixels: in exports, instances and classes can differ by a pixel along the void.
            value = int(values[np.argmax(counts)])
            if value not in self._classes:
                raise BrokenSampleError(
                    f"Object {number} of {path} has the label {value}, which is not the value of a class."
                )
            yield mask, self._classes[value]

    @cached_property
    def _map(self) -> dict[str, tuple[int, int, int]] | None:
        """The colour of each class in labelmap.txt, or None without that file."""
        path = self.folder / "labelmap.txt"
        if not path.is_file():
            return None
        colours = {}
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            name, _, rest = line.partition(":")
            try:
                red, green, blue = (int(value) for value in rest.split(":")[0].split(","))
            except ValueError:
                raise EvaluationError(f"{path} needs lines of name:red,green,blue::; got '{line.strip()}'.") from None
            colours[name.strip()] = (red, green, blue)
        return colours

    @cached_property
    def _classes(self) -> Mapping[int, str]:
        """The name of each value that `_read_indices` returns; 0, the background, has none."""
        names = _CLASSES if self._map is None else [name for name in self._map if name != "background"]
        return dict(enumerate(names, start=1))

    @cached_property
    def _colours(self) -> dict[tuple[int, int, int], int] | None:
        if self._map is None:
            return None
        values = {self._map[name]: value for value, name in self._classes.items()}
        return {(0, 0, 0): 0, (224, 224, 192): _VOID, self._map.get("background", (0, 0, 0)): 0} | values


def _read_indices(path: Path, colours: Mapping[tuple[int, int, int], int] | None) -> NDArray[np.int64]:
    """Return the label map, int64 (H, W), of a file with a palette or with colours.

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
    try:
        with Image.open(path) as image:
            if image.mode in ("1", "L", "I", "I;16") or (image.mode == "P" and colours is None):
                return read_labels(path)
            pixels = np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise BrokenSampleError(f"The mask {path} is missing.") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise BrokenSampleError(f"The mask {path} cannot be read ({error}).") from None
    if colours is None:
        colours = {(red, green, blue): index for index, (red, green, blue) in enumerate(_palette().tolist())}
    packed = pixels.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    distinct, index = np.unique(packed, return_inverse=True)
    values = []
    for colour in distinct.tolist():
        rgb = colour >> 16, colour >> 8 & 255, colour & 255
        if rgb not in colours:
            raise BrokenSampleError(f"The mask {path} holds the colour {rgb}, which is not the value of a class.")
        values.append(colours[rgb])
    labels: NDArray[np.int64] = np.array(values, np.int64)[index.reshape(packed.shape)]
    return labels
