"""Masks and probability maps that any model left in a folder, matched to the samples of a data set by name."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam_backend.arrays import BoolArray
from sam_backend.samples import Cropped
from sam_evaluation.datasets.objects import ObjectRule, objects_of_mask
from sam_evaluation.datasets.sample_files import IMAGE_SUFFIXES
from sam_evaluation.errors import BrokenSampleError, EvaluationError
from sam_evaluation.measurement import LIMITS, Proposed

SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".npy", ".npz")

_ONE_CHANNEL = ("1", "L", "P", "I", "I;16", "I;16B", "F")
_MOST = {"uint8": 255, "uint16": 65535}
"""What stands for a probability of 1, by the type of whole numbers."""


class ValueKind(StrEnum):
    """What files of whole numbers hold; floats are always probabilities.

    `AUTO` takes files with no other values than 0 and 1, or 0 and the greatest there is (255 of 8 bits, 65535 of 16),
    as masks, and refuses all others, since 2 may be a class as well as a low probability.
    """

    AUTO = "auto"
    LABELS = "labels"
    PROBABILITIES = "probabilities"


@dataclass(frozen=True)
class Predictions:
    """A folder with a file an image, at any depth: PNG, BMP, TIFF, NPY, or NPZ with one array; one channel (H, W).

    A file belongs to the sample whose name it has, apart from the suffix: with its folders, or without them where no
    other sample and no other file is called the same.

    Attributes
    ----------
    folder : its name is what the model is called in tables.
    threshold : probability from which a pixel belongs to a mask.
    kind : what files of whole numbers hold.
    """

    folder: Path
    threshold: float = 0.5
    kind: ValueKind = ValueKind.AUTO

    @property
    def name(self) -> str:
        """What the model is called in tables."""
        return self.folder.resolve().name

    def version(self) -> str:
        """Return eight hex digits that change with any file and with how the files are read.

        Maps of one size all have files of one size, so that only their bytes tell a new model's from an old one's.
        """
        digest = hashlib.sha256(f"{self.threshold} {self.kind}".encode())
        for path in self._files():
            digest.update(f"\n{path.relative_to(self.folder).as_posix()}\n".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:8]

    def matched(self, names: Sequence[str]) -> dict[str, list[Path]]:
        """Return the files that may belong to each of all the samples of a data set: none, one, or too many.

        Raises
        ------
        EvaluationError
            If no sample has any.
        """
        files = self._files()
        paths, stems = _by(files, lambda path: _bare(path.relative_to(self.folder))), _by(files, lambda path: path.stem)
        wanted = {name: _bare(PurePosixPath(name)) for name in names}
        alike = Counter(PurePosixPath(key).name for key in wanted.values())
        found = {}
        for name, key in wanted.items():
            stem = PurePosixPath(key).name
            found[name] = paths.get(key) or (stems.get(stem, []) if alike[stem] == 1 else [])
        if not any(found.values()):
            there = f"found {files[0].relative_to(self.folder)}" if files else "found no such file"
            raise EvaluationError(
                f"{self.folder} holds no prediction of any image: expected files such as "
                f"{next(iter(wanted.values()), 'name')}.png (or {', '.join(SUFFIXES[1:])}), {there}; "
                "name predictions as their images."
            )
        return found

    def propose(self, files: Sequence[Path], name: str, size: tuple[int, int], rule: ObjectRule) -> Proposed:
        """Return the connected parts of what was predicted for the sample `name`, whose image has `size` (H, W).

        They rank by their mean probability (that of masks is 1), and of equals by their area; of more than
        `LIMITS[-1]` the best.

        Raises
        ------
        BrokenSampleError
            If there is not just one file, or it cannot be read or understood, or is of another size.
        """
        if len(files) != 1:
            came = f"there are {', '.join(map(str, files))}; keep one" if files else "there is none"
            raise BrokenSampleError(f"One prediction of {name} was expected in {self.folder}, {came}.")
        pixels = _pixels(files[0], size)
        found = heapq.nlargest(
            max(LIMITS), _parts(self._layers(pixels, files[0]), rule), key=lambda part: (part[1], part[0].area)
        )
        scores = np.array([score for _, score in found])
        return Proposed([part for part, _ in found], scores, np.full(len(found), np.nan))

    def _layers(self, pixels: NDArray[Any], file: Path) -> Iterator[tuple[BoolArray, NDArray[np.floating[Any]] | None]]:
        """Yield masks (H, W) to be parted, each with the probabilities it comes from, None where there are none."""
        if np.issubdtype(pixels.dtype, np.floating):
            yield self._above(pixels, file)
            return
        values, most = np.unique(pixels), _MOST.get(pixels.dtype.name)
        if self.kind is ValueKind.LABELS:
            yield from ((pixels == value, None) for value in values if value > 0)
        elif self.kind is ValueKind.PROBABILITIES and most:
            yield self._above(pixels / most, file)
        elif np.isin(values, (0, 1)).all() or np.isin(values, (0, most or 0)).all():
            yield pixels > 0, None
        else:
            probabilities = f" or --predictions-are probabilities (0 to {most})" if most else ""
            raise BrokenSampleError(
                f"{file} holds {len(values)} different values up to {values[-1]}, which is no plain mask; say what "
                f"they are: --predictions-are labels (each value above 0 a class){probabilities}."
            )

    def _above(self, pixels: NDArray[Any], file: Path) -> tuple[BoolArray, NDArray[np.floating[Any]]]:
        wrong = np.count_nonzero(~np.isfinite(pixels))
        if wrong:
            raise BrokenSampleError(f"{file} holds {wrong} pixels that are NaN or infinite; predict them again.")
        low, high = float(pixels.min()), float(pixels.max())
        if low < 0 or high > 1:
            raise BrokenSampleError(
                f"{file} holds {low:.4g} to {high:.4g}; floats should be probabilities from 0 to 1, so save logits "
                "through a sigmoid."
            )
        mask: BoolArray = pixels >= self.threshold
        return mask, pixels

    def _files(self) -> list[Path]:
        if not self.folder.is_dir():
            raise EvaluationError(f"{self.folder} should be a folder with a prediction an image; it is none.")
        found = self.folder.rglob("*")
        return sorted(path for path in found if path.suffix.lower() in SUFFIXES and path.is_file())


def _by(files: Sequence[Path], key: Any) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in files:
        found.setdefault(key(path), []).append(path)
    return found


def _bare(path: PurePosixPath) -> str:
    """Return a path without its suffix; a dot in a name that has no suffix begins none."""
    known = path.suffix.lower() in (*IMAGE_SUFFIXES, *SUFFIXES)
    return (path.with_suffix("") if known else path).as_posix()


def _parts(
    layers: Iterable[tuple[BoolArray, NDArray[np.floating[Any]] | None]], rule: ObjectRule
) -> Iterator[tuple[Cropped, float]]:
    for layer, probability in layers:
        for part in (found.cropped for found in objects_of_mask(layer, "", rule)):
            inside = None if probability is None else probability[part.place][part.part]
            yield part, 1.0 if inside is None else float(inside.mean(dtype=np.float64))


def _pixels(file: Path, size: tuple[int, int]) -> NDArray[Any]:
    """Return what a file holds, (H, W) of bool, whole numbers or floats."""
    try:
        pixels = _array(file) if file.suffix.lower() in (".npy", ".npz") else _image(file, size)
    except (OSError, ValueError, EOFError, SyntaxError, BadZipFile, Image.DecompressionBombError) as error:
        raise BrokenSampleError(f"The prediction {file} cannot be read ({error}); save it again.") from None
    if pixels.ndim == 3 and 1 in (pixels.shape[0], pixels.shape[2]):
        pixels = pixels.reshape(pixels.shape[1:] if pixels.shape[0] == 1 else pixels.shape[:2])
    if pixels.dtype.kind not in "buif":
        raise BrokenSampleError(f"{file} holds values of the type {pixels.dtype}; save numbers.")
    _require_size(pixels.shape, size, file)
    return pixels


def _require_size(shape: tuple[int, ...], size: tuple[int, int], file: Path) -> None:
    if shape != size:
        came = " x ".join(map(str, shape[::-1])) or "no"
        raise BrokenSampleError(
            f"The prediction {file} is of {came} pixels, its image of {size[1]} x {size[0]}; both must agree."
        )


def _array(file: Path) -> NDArray[Any]:
    loaded = np.load(file, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        if len(loaded.files) != 1:
            raise BrokenSampleError(f"{file} holds {len(loaded.files)} arrays; save the prediction alone.")
        return np.asarray(loaded[loaded.files[0]])


def _image(file: Path, size: tuple[int, int]) -> NDArray[Any]:
    with Image.open(file) as image:
        if image.mode not in _ONE_CHANNEL:
            raise BrokenSampleError(f"{file} is an image of colours ({image.mode}); save one channel.")
        # On the header, before any pixel is unpacked.
        _require_size(image.size[::-1], size, file)
        pixels = np.asarray(image)
    # Of old versions of Pillow a PNG of 16 bits has 32.
    fits = image.mode == "I" and pixels.min() >= 0 and pixels.max() <= np.iinfo(np.uint16).max
    return pixels.astype(np.uint16) if fits else pixels
