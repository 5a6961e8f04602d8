"""An export from the first image to the last: a folder that is written whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from sam_backend.progress import ProgressCallback
from sam_backend.safe_text import safe_cell
from sam_backend.samples import Sample
from sam_evaluation.datasets.tally import Tally
from sam_evaluation.errors import EvaluationError
from sam_evaluation.exports.image_copy import copy_file, save_png, why_png
from sam_evaluation.exports.names import FileNames
from sam_evaluation.exports.registry import writer_class
from sam_evaluation.exports.source import Source, SourceImage, objects_of_first
from sam_evaluation.exports.split import Split
from sam_evaluation.exports.writer import Classes, ExportedImage, Writer

PART = ".part"
LEFT_OUT = "left_out.csv"


@dataclass
class Exported:
    """What an export wrote.

    Attributes
    ----------
    images : Counter, the images of each split.
    masks : int, the masks of all images, those that the format could not hold included.
    classes : list of str.
    tally : Tally, what was left out, and what was written otherwise.
    pngs : Counter, why images were saved as PNG.
    """

    images: Counter[str] = field(default_factory=Counter)
    masks: int = 0
    classes: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    pngs: Counter[str] = field(default_factory=Counter)

    def sentences(self) -> list[str]:
        """Return a sentence for each reason, with its count and the first place."""
        return self.tally.sentences() + [f"{number:,} changed: {reason}." for reason, number in self.pngs.items()]


def export(
    source: Source, format_name: str, out: Path, progress: ProgressCallback, *, share: float = 1.0, seed: int = 0
) -> Exported:
    """Write a data set in another format.

    The folder is written beside `out`, under its name with `.part`, and renamed at the end. A run that was interrupted
    leaves nothing at `out`; what it has fetched stays in the other folder, and the next run uses it.

    Parameters
    ----------
    source : Source, the images with their masks.
    format_name : str, the name of a format of `registry`.
    out : Path, a new or empty folder.
    progress : called with the numbers of images or tasks done and in all.
    share : float, the part of the images that is for training; with 1, nothing is for validation.
    seed : int, another seed is another split.

    Raises
    ------
    EvaluationError
        If there is no such format, the folder holds something, the format cannot hold the classes, or no image can be
        used.
    """
    chosen = writer_class(format_name)
    _require_place(out, source.folder)
    classes = Classes(chosen.card, source.classes())
    part = out.absolute().with_name(out.absolute().name + PART)
    part.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(part / "lock", timeout=0):
            whole, fetched = part / "whole", part / "fetched"
            shutil.rmtree(whole, ignore_errors=True)
            whole.mkdir()
            try:
                exported = Exported()
                writer = chosen(whole, classes, exported.tally)
                _Export(writer, classes, Split(share, seed), fetched, exported).run(source, progress)
                if any(exported.tally.counts.values()):
                    _write_left_out(whole / LEFT_OUT, exported.tally)
                if out.exists():
                    out.rmdir()
                os.replace(whole, out)
                shutil.rmtree(fetched, ignore_errors=True)
            finally:
                shutil.rmtree(part if not fetched.exists() else whole, ignore_errors=True)
    except Timeout:
        raise EvaluationError(f"Another export to {out} is running; wait for it, or name another folder.") from None
    return exported


class _Export:
    """The loop over the images."""

    def __init__(self, writer: Writer, classes: Classes, split: Split, fetched: Path, exported: Exported) -> None:
        self._writer, self._classes, self._split = writer, classes, split
        self._fetched, self._exported = fetched, exported
        self._names = FileNames()

    def run(self, source: Source, progress: ProgressCallback) -> None:
        for image in source.images(self._fetched, self._exported.tally, progress):
            self._add(image)
        if not self._exported.images:
            raise EvaluationError(
                f"{source.title} has no image that can be exported. {' '.join(self._exported.sentences())}".strip()
            )
        self._writer.close()
        self._exported.classes = self._classes.names

    def _add(self, image: SourceImage) -> None:
        sample, exported = image.sample, self._exported
        exported.tally.add(sample)
        why = why_png(sample, self._writer.card.suffixes)
        if why:
            exported.pngs[why] += 1
        suffix = ".png" if why or sample.file is None else sample.file.suffix
        size = sample.image.shape[0], sample.image.shape[1]
        side = self._split.side(image.group, _digest(sample))
        written = ExportedImage(
            self._names.stem(image.path, image.key) + suffix, side, size, objects_of_first(sample, exported.tally)
        )
        target = self._writer.image_file(written)
        target.parent.mkdir(parents=True, exist_ok=True)
        if why or sample.file is None:
            save_png(sample, target)
        else:
            copy_file(sample.file, target, owned=sample.file.is_relative_to(self._fetched))
        self._writer.add(written)
        exported.images[side] += 1
        exported.masks += len(written.objects)


def _require_place(out: Path, folder: Path | None) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise EvaluationError(f"{out} exists and is no empty folder; name a new one.")
    if folder is not None and out.resolve().is_relative_to(folder.resolve()):
        raise EvaluationError(f"{out} lies within the data set {folder}; name a folder outside of it.")


def _digest(sample: Sample) -> bytes:
    content = sample.file.read_bytes() if sample.file else sample.image.tobytes()
    return hashlib.sha256(content).digest()


def _write_left_out(file: Path, tally: Tally) -> None:
    with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as text:
        rows = csv.writer(text)
        rows.writerow(["reason", "count", "first"])
        counted = ((reason, number) for reason, number in tally.counts.items() if number)
        rows.writerows((reason, number, safe_cell(tally.examples.get(reason, ""))) for reason, number in counted)
