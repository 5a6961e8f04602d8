"""Masks and probability maps of any model in a folder, matched to the samples of a data set by name."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import IO, Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_backend.errors import BadRequestError
from sam_backend.samples import Cropped
from sam_backend.segmenters.image_folder import IMAGE_SUFFIXES
from sam_backend.segmenters.image_headers import open_image, reason
from sam_backend.segmenters.image_values import decode_values, turned
from sam_evaluation.datasets.label_files import has_more_pages
from sam_evaluation.datasets.objects import ObjectRule, objects_of_mask
from sam_evaluation.datasets.pixel_values import distinct_values
from sam_evaluation.datasets.sample_files import max_pixels
from sam_evaluation.errors import BrokenSampleError, EvaluationError
from sam_evaluation.measurement import LIMITS, Proposed

SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".npy", ".npz")

_ONE_CHANNEL = ("1", "L", "P", "I", "I;16", "I;16B", "F")
_MAXIMUM = {"uint8": 255, "uint16": 65535}
"""The value that means a probability of 1, by integer type."""


class ValueKind(StrEnum):
    """The meaning of whole numbers in a file; floats are always probabilities.

    `AUTO` reads a file as a mask if its only values are 0 and 1, or 0 and the maximum (255 for 8 bits, 65535 for 16).
    It refuses all other files: a 2, for example, may be a class or a low probability.
    """

    AUTO = "auto"
    LABELS = "labels"
    PROBABILITIES = "probabilities"


@dataclass(frozen=True)
class Predictions:
    """A folder with one file per image, at any depth: PNG, BMP, TIFF, NPY, or NPZ with one array; one channel (H, W).

    A file belongs to the sample with the same name, apart from the suffix. The names are compared with their folders,
    and also without them where no other sample and no other file has the same name.

    Attributes
    ----------
    folder : Path, on a disk or on a store; its last part is the name of the model in the tables.
    threshold : float, the probability from which a pixel belongs to a mask.
    kind : ValueKind, the meaning of whole numbers.
    """

    folder: Path
    threshold: float = 0.5
    kind: ValueKind = ValueKind.AUTO

    @property
    def name(self) -> str:
        """The name of the model in the tables."""
        return self.folder.resolve().name

    def version(self) -> str:
        """Return eight hex digits that depend on the content of all files and on how they are read.

        The sizes of the files are not enough: maps of equal size have files of equal size.
        """
        digest = hashlib.sha256(f"{self.threshold} {self.kind}".encode())
        for path in self._files():
            digest.update(f"\n{path.relative_to(self.folder).as_posix()}\n".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:8]

    def matched(self, names: Sequence[str]) -> dict[str, list[Path]]:
        """Return, for each sample of a data set, the files that may belong to it: none, one, or too many.

        Raises
        ------
        EvaluationError
            If no sample has a file.
        """
        files = self._files()
        paths, stems = (
            _group_by(files, lambda path: _bare(path.relative_to(self.folder))),
            _group_by(files, lambda path: path.stem),
        )
        keys = {name: _bare(PurePosixPath(name)) for name in names}
        stem_counts = Counter(PurePosixPath(key).name for key in keys.values())
        matched = {}
        for name, key in keys.items():
            stem = PurePosixPath(key).name
            matched[name] = paths.get(key) or (stems.get(stem, []) if stem_counts[stem] == 1 else [])
        if not any(matched.values()):
            there = f"found {files[0].relative_to(self.folder)}" if files else "found no such file"
            raise EvaluationError(
                f"{self.folder} holds no prediction of any image: expected files such as "
                f"{next(iter(keys.values()), 'name')}.png (or {', '.join(SUFFIXES[1:])}), {there}; "
                "give each prediction the name of its image."
            )
        return matched

    def propose(self, files: Sequence[Path], name: str, size: tuple[int, int], rule: ObjectRule) -> Proposed:
        """Return the connected parts of the prediction for a sample.

        They are sorted by their mean probability (1 for masks), then by their area. The best `LIMITS[-1]` are returned.

        Parameters
        ----------
        files : sequence of Path, the files of the sample from `matched`.
        name : str, the name of the sample.
        size : (H, W) of the image.
        rule : ObjectRule, how masks become objects.

        Raises
        ------
        BrokenSampleError
            If there is not exactly one file, or it cannot be read, has an unknown meaning, or has another size.
        """
        if len(files) != 1:
            came = f"there are {', '.join(map(str, files))}; keep one" if files else "there is none"
            raise BrokenSampleError(f"One prediction of {name} was expected in {self.folder}, {came}.")
        pixels = _pixels(files[0], size)
        parts = heapq.nlargest(
            max(LIMITS), _parts(self._layers(pixels, files[0]), rule), key=lambda part: (part[1], part[0].area)
        )
        scores = np.array([score for _, score in parts])
        return Proposed([part for part, _ in parts], scores, np.full(len(parts), np.nan))

    def _layers(self, pixels: NDArray[Any], file: Path) -> Iterator[tuple[BoolArray, NDArray[np.floating[Any]] | None]]:
        """Yield masks (H, W) to split into parts, each with its probabilities (H, W), or None for a mask."""
        if np.issubdtype(pixels.dtype, np.floating):
            yield self._above(pixels, file)
            return
        values, maximum = distinct_values(pixels), _MAXIMUM.get(pixels.dtype.name)
        if self.kind is ValueKind.LABELS:
            yield from ((pixels == value, None) for value in values if value > 0)
        elif self.kind is ValueKind.PROBABILITIES and maximum:
            yield self._above(np.divide(pixels, maximum, dtype=np.float32), file)
        elif np.isin(values, (0, 1)).all() or np.isin(values, (0, maximum or 0)).all():
            yield pixels > 0, None
        else:
            probabilities = f" or --predictions-are probabilities (0 to {maximum})" if maximum else ""
            raise BrokenSampleError(
                f"{file} holds {len(values)} different values up to {values[-1]}, which is not a plain mask; say what "
                f"they are: --predictions-are labels (each value above 0 a class){probabilities}."
            )

    def _above(self, pixels: NDArray[Any], file: Path) -> tuple[BoolArray, NDArray[np.floating[Any]]]:
        wrong = np.count_nonzero(~np.isfinite(pixels))
        if wrong:
            raise BrokenSampleError(f"{file} holds {wrong} pixels that are NaN or infinite; predict them again.")
        low, high = float(pixels.min()), float(pixels.max())
        if low < 0 or high > 1:
            raise BrokenSampleError(
                f"{file} holds {low:.4g} to {high:.4g}; floats should be probabilities from 0 to 1; apply a sigmoid to "
                "logits before you save them."
            )
        mask: BoolArray = pixels >= self.threshold
        return mask, pixels

    def _files(self) -> list[Path]:
        if not self.folder.is_dir():
            raise EvaluationError(
                f"{self.folder} should be a folder with one prediction per image; it is not a folder."
            )
        paths = self.folder.rglob("*")
        return sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file())


def _group_by(files: Sequence[Path], key: Any) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for path in files:
        groups.setdefault(key(path), []).append(path)
    return groups


def _bare(path: PurePosixPath) -> str:
    """Return a path without its suffix; only known suffixes are removed, since names may contain dots."""
    known = path.suffix.lower() in (*IMAGE_SUFFIXES, *SUFFIXES)
    return (path.with_suffix("") if known else path).as_posix()


def _parts(
    layers: Iterable[tuple[BoolArray, NDArray[np.floating[Any]] | None]], rule: ObjectRule
) -> Iterator[tuple[Cropped, float]]:
    for layer, probability in layers:
        for part in (target.cropped for target in objects_of_mask(layer, "", rule)):
            inside = None if probability is None else probability[part.place][part.part]
            yield part, 1.0 if inside is None else float(inside.mean(dtype=np.float64))


def _pixels(file: Path, size: tuple[int, int]) -> NDArray[Any]:
    """Return the content of a file, (H, W) of bool, integers or floats."""
    try:
        pixels = _array(file, size) if file.suffix.lower() in (".npy", ".npz") else _image(file, size)
    except BrokenSampleError:
        raise
    except MemoryError:
        raise BrokenSampleError(f"The prediction {file} needs more memory than this machine has free.") from None
    # The decoders of images and arrays raise almost anything on broken content.
    except Exception as error:
        raise BrokenSampleError(f"The prediction {file} cannot be read ({reason(error)}); save it again.") from None
    return pixels


def _require_size(shape: tuple[int, ...], size: tuple[int, int], file: Path) -> None:
    if shape != size:
        came = " x ".join(map(str, shape[::-1])) or "no"
        raise BrokenSampleError(
            f"The prediction {file} has {came} pixels, its image {size[1]} x {size[0]}; both must agree."
        )


def _array(file: Path, size: tuple[int, int]) -> NDArray[Any]:
    # Headers are read first: an array that only claims its pixels, or unpacks to gigabytes, costs nothing.
    if file.suffix.lower() == ".npy":
        with file.open("rb") as stream:
            _check_header(stream, size, file)
            stream.seek(0)
            return _plane(np.load(stream, allow_pickle=False))
    with file.open("rb") as content, ZipFile(content) as archive:
        members = archive.namelist()
        if len(members) != 1:
            raise BrokenSampleError(f"{file} holds {len(members)} arrays; save only the prediction.")
        with archive.open(members[0]) as stream:
            _check_header(stream, size, file)
        content.seek(0)
        with np.load(content, allow_pickle=False) as arrays:
            return _plane(arrays[arrays.files[0]])


def _check_header(stream: IO[bytes], size: tuple[int, int], file: Path) -> None:
    version = np.lib.format.read_magic(stream)  # type: ignore[no-untyped-call]
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)  # type: ignore[no-untyped-call]
    if dtype.kind not in "buif":
        raise BrokenSampleError(f"{file} holds values of the type {dtype}; save numbers.")
    _require_size(_plane_shape(shape), size, file)


def _plane(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels.reshape(_plane_shape(pixels.shape))


def _plane_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape without a channel axis of length 1, first or last."""
    if len(shape) == 3 and 1 in (shape[0], shape[2]):
        return shape[1:] if shape[0] == 1 else shape[:2]
    return shape


def _image(file: Path, size: tuple[int, int]) -> NDArray[Any]:
    try:
        image = open_image(file.read_bytes(), "it", max_pixels=max_pixels())
    except BadRequestError as error:
        raise BrokenSampleError(f"The prediction {file} cannot be read: {error}") from None
    if image.mode not in _ONE_CHANNEL:
        raise BrokenSampleError(f"{file} is a colour image ({image.mode}); save one channel.")
    # From the header, before any pixel is decoded.
    _require_size(image.size[::-1], size, file)
    if has_more_pages(image):
        raise BrokenSampleError(f"{file} has several pages or frames; save one prediction in a file.")
    decoded = decode_values(image)
    pixels = turned(decoded.values, decoded.orientation)
    if decoded.mode == "1":
        return pixels > 0
    # Old versions of Pillow read a PNG with 16 bits as 32 bits.
    fits = decoded.mode == "I" and pixels.min() >= 0 and pixels.max() <= np.iinfo(np.uint16).max
    return pixels.astype(np.uint16) if fits else pixels
