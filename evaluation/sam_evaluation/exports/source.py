"""Where the images of an export come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sam_backend.progress import ProgressCallback
from sam_backend.samples import Object, Sample
from sam_evaluation.datasets.objects import ObjectRule
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.datasets.tally import Tally
from sam_evaluation.errors import BrokenSampleError

EVERY_OBJECT = ObjectRule(min_area=1)
"""An export keeps the smallest objects, too."""

CANNOT_BE_READ = "image that cannot be read"


@dataclass(frozen=True, eq=False)
class SourceImage:
    """An image to export.

    Attributes
    ----------
    path : str, its path or address, of which the last part is its name.
    key : str, what tells it from others of its name; "" where nothing short does.
    group : str, what stays on one side of a split.
    sample : Sample.
    """

    path: str
    key: str
    group: str
    sample: Sample


def objects_of_first(sample: Sample, tally: Tally) -> list[Object]:
    """Return the objects of the first of several people who outlined the same image; the others are left out."""
    first = [target for target in sample.objects if not target.annotator]
    for _ in range(len(sample.objects) - len(first)):
        tally.leave_out("object of a further annotator of the image", sample.name)
    return first


class Source(Protocol):
    """Images with their masks, one after another.

    Attributes
    ----------
    title : str, what users call it.
    folder : Path, which the export must not be written into; None without one.
    """

    title: str
    folder: Path | None

    def classes(self) -> Sequence[str]:
        """Return the names of the classes that are known beforehand, in order."""

    def images(self, fetched: Path, tally: Tally, progress: ProgressCallback) -> Iterator[SourceImage]:
        """Yield the images.

        Parameters
        ----------
        fetched : Path, a folder for files that come from elsewhere; what an earlier run left there is used.
        tally : Tally that counts what is left out.
        progress : called with the numbers of images or tasks done and in all.
        """


class DatasetSource(Source):
    """A data set that `datasets` reads.

    Parameters
    ----------
    spec : DatasetSpec.
    """

    def __init__(self, spec: DatasetSpec) -> None:
        self._dataset = spec.open(EVERY_OBJECT)
        self.title, self.folder = f"{spec.format}:{spec.folder}", spec.folder
        self._root = spec.folder if spec.folder.is_dir() else spec.folder.parent

    def classes(self) -> Sequence[str]:
        """Return the classes that the data set names."""
        return self._dataset.classes()

    def images(self, fetched: Path, tally: Tally, progress: ProgressCallback) -> Iterator[SourceImage]:
        """Yield the images of the data set; a broken one is left out."""
        names = self._dataset.names()
        for reason, number in self._dataset.left_out().items():
            tally.counts[reason] = tally.counts.get(reason, 0) + number
        for done, name in enumerate(names):
            progress(done, len(names))
            try:
                sample = self._dataset.load(name)
            except BrokenSampleError as error:
                tally.leave_out(CANNOT_BE_READ, str(error))
                continue
            path, group = sample.file or Path(name), self._dataset.group(name)
            inside = path.relative_to(self._root) if path.is_relative_to(self._root) else path
            yield SourceImage(inside.as_posix(), group if group != name else "", group, sample)
        progress(len(names), len(names))
