"""Images with masks to export, real ones and ones that break converters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sam_backend.progress import no_progress
from sam_backend.samples import Object, Sample
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.datasets.sample_files import read_image
from sam_evaluation.exports.run import Exported, export
from sam_evaluation.exports.source import EVERY_OBJECT, SourceImage

SIZE = (40, 56)


class ListSource:
    """A source that yields images from a list; an exception in the list is raised in its place."""

    def __init__(self, images: Sequence[SourceImage | BaseException], classes: Sequence[str] = ()) -> None:
        self.title, self.folder = "the list", None
        self._images, self._classes = images, classes

    def classes(self) -> Sequence[str]:
        return self._classes

    def images(self, fetched, tally, progress) -> Iterator[SourceImage]:
        for image in self._images:
            if isinstance(image, BaseException):
                raise image
            yield image


def saved(
    file: Path, *objects: Object, group: str = "", exif: int = 0, pixels: np.ndarray | None = None, seed: int = 0
):
    """Save an image, and return it with objects to export."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if pixels is None:
        pixels = np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)
    image, header = Image.fromarray(pixels), Image.Exif()
    if exif:
        header[0x0112] = exif
    image.save(file, exif=header) if exif else image.save(file)
    sample = Sample(file.as_posix(), read_image(file), objects, file=file)
    return SourceImage(file.as_posix(), "", group or file.as_posix(), sample)


def run(source, to: str, out: Path, **options: float) -> Exported:
    return export(source, to, out, no_progress, **options)


def specs(to: str, out: Path, split: str = "train") -> list[str]:
    """Return the data sets, as readers know them, that an export in a format is."""
    return {
        "coco": [f"coco:{out}/annotations/instances_{split}.json", f"lvis:{out}/annotations/instances_{split}.json"],
        "coco-polygons": [f"coco:{out}/annotations/instances_{split}.json"],
        "yolo-seg": [f"yolo:{out}@{split}"],
        "voc": [f"voc:{out}@{split}"],
        "png": [f"masks:{out}/{split}"],
        "labelme": [f"labelme:{out}/{split}"],
    }[to]


def read(spec: str) -> dict[str, Sample]:
    """Read a data set; nothing of it may be left out, or read otherwise than written. Samples are by their stems."""
    dataset = DatasetSpec.parse(spec).open(EVERY_OBJECT)
    assert not any(dataset.left_out().values()), dataset.left_out()
    assert not dataset.notes()
    samples = [dataset.load(name) for name in dataset.names()]
    for sample in samples:
        assert not sample.left_out, (sample.name, sample.left_out)
        assert not sample.notes
    return {sample.file.stem: sample for sample in samples}


def mask(*places: tuple[slice, slice], size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a mask of rectangles; where an even number of them lie, it is not set."""
    whole = np.zeros(size, bool)
    for place in places:
        whole[place] ^= True
    return whole


ODD_MASKS = {
    "one pixel": mask(np.s_[7:8, 9:10]),
    "one pixel in the last corner": mask(np.s_[39:, 55:]),
    "a line of one pixel": mask(np.s_[5:6, 2:50]),
    "a diagonal of pixels": np.eye(*SIZE, dtype=bool),
    "all of the image": np.ones(SIZE, bool),
    "a frame along the border": mask(np.s_[:, :], np.s_[1:-1, 1:-1]),
    "a hole": mask(np.s_[5:30, 5:30], np.s_[10:20, 10:20]),
    "a hole of one pixel": mask(np.s_[5:30, 5:30], np.s_[12:13, 12:13]),
    "an island in a hole": mask(np.s_[5:30, 5:30], np.s_[8:27, 8:27], np.s_[12:20, 12:20]),
    "two parts": mask(np.s_[2:10, 2:10], np.s_[20:30, 30:50]),
    "parts that touch at a corner": mask(np.s_[2:10, 2:10], np.s_[10:20, 10:20]),
    "a chessboard": np.indices(SIZE).sum(0) % 2 == 0,
    "noise": np.random.default_rng(1).random(SIZE) < 0.4,
}
