"""The images that a model is tuned on, checked on and judged on: always the same split, by the image's name."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from cachetools import LRUCache

from sam_backend.errors import BrokenSampleError, SamInspectError
from sam_backend.finetune.views import MIN_CELLS, is_target
from sam_backend.progress import ProgressCallback, no_progress
from sam_backend.samples import Sample

_MEMORY_BYTES = 2**30


class SampleSource(Protocol):
    """Accepted masks, image by image; every data set of `sam_evaluation.datasets` is one."""

    def names(self) -> Sequence[str]:
        """Return the names of all images, always in the same order."""

    def load(self, name: str) -> Sample:
        """Read one image and its objects.

        Raises
        ------
        BrokenSampleError
            If the image or its masks cannot be read, or do not fit each other.
        """


class Split(StrEnum):
    """The one purpose that an image serves, now and in every later training."""

    TRAINING = "training"
    VALIDATION = "validation"
    HELD_OUT = "held-out"


SPLIT_SHARES = {Split.TRAINING: 0.65, Split.VALIDATION: 0.10, Split.HELD_OUT: 0.25}
"""A quarter is held out, because a gate that sees few images lets nothing through."""

_FEWEST = {Split.TRAINING: 10, Split.VALIDATION: 2}
"""Images with masks that a training needs; the gate says how many must be held out."""


class TooFewMasksError(SamInspectError):
    """There are too few accepted masks to learn from and to be judged on."""


def split_of(name: str) -> Split:
    """Return the split of an image. It depends on the name alone, so later images move no earlier one.

    Examples
    --------
    >>> split_of("000201.jpg") is split_of("000201.jpg")
    True
    """
    position = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") / 2**64
    for split, share in SPLIT_SHARES.items():
        if position < share:
            return split
        position -= share
    return Split.HELD_OUT


@dataclass(frozen=True, eq=False)
class Examples:
    """The images of a source that have masks.

    Attributes
    ----------
    source : SampleSource, where they are read from.
    names : mapping, the image names of each split.
    masks : mapping, the number of masks of each split.
    broken : mapping, name -> reason, the images that cannot be used.
    too_small : int, the masks of fewer than `MIN_CELLS` pixels, which cannot be learnt; an image that has no others
        neither trains nor validates.
    fingerprint : str, eight hex digits that change with any mask or image size.
    """

    source: SampleSource
    names: Mapping[Split, tuple[str, ...]]
    masks: Mapping[Split, int]
    broken: Mapping[str, str]
    too_small: int
    fingerprint: str
    _cache: LRUCache[str, Sample]
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def load(self, name: str) -> Sample:
        """Return an image and its masks, from memory if they were read lately. Threads may call this."""
        with self._lock:
            sample: Sample | None = self._cache.get(name)
        if sample is None:
            sample = self.source.load(name)
            if _nbytes(sample) <= self._cache.maxsize:
                with self._lock:
                    self._cache[name] = sample
        return sample

    def require_enough(self, held_out: int) -> None:
        """Check that every split has enough images.

        Parameters
        ----------
        held_out : int, the number of images that the gate needs.

        Raises
        ------
        TooFewMasksError
            If a split has too few; the message says how many more are needed.
        """
        fewest = _FEWEST | {Split.HELD_OUT: held_out}
        short = {split: needed for split, needed in fewest.items() if len(self.names[split]) < needed}
        if not short:
            return
        total = sum(map(len, self.names.values()))
        # New images fall into all splits, so a split gets only its share of them.
        more = max((needed - len(self.names[split])) / SPLIT_SHARES[split] for split, needed in short.items())
        which = ", ".join(f"{split} {len(self.names[split])} of {needed}" for split, needed in short.items())
        unread = ""
        if self.broken:
            name, reason = next(iter(self.broken.items()))
            unread = f" {len(self.broken)} more could not be read, for example {name}: {reason}"
        if self.too_small:
            unread += f" {self.too_small} masks are too small to be learnt: they have fewer than {MIN_CELLS} pixels."
        raise TooFewMasksError(
            f"A training needs accepted masks on about {total + round(more + 0.5)} images, and there are {total} "
            f"({which}); accept masks on {round(more + 0.5)} more.{unread}"
        )


def read_examples(
    source: SampleSource,
    limit: int | None = None,
    progress: ProgressCallback = no_progress,
    *,
    with_empty: bool = False,
) -> Examples:
    """Read every image and mask once, and split them.

    Images that cannot be read, or whose mask has another size, are left out; `Examples.broken` has the reason.

    Parameters
    ----------
    source : SampleSource, the accepted masks.
    limit : int or None, about this many images, evenly spread; None for all.
    progress : ProgressCallback, called with the images done and their number.
    with_empty : bool, whether images without masks are examples too: they show background, but nothing to prompt for.

    Raises
    ------
    SamInspectError
        If the source cannot be read at all.
    """
    names = _evenly_spread(source.names(), limit)
    cache: LRUCache[str, Sample] = LRUCache(_MEMORY_BYTES, getsizeof=_nbytes)
    split_names: dict[Split, list[str]] = {split: [] for split in Split}
    masks = dict.fromkeys(Split, 0)
    broken: dict[str, str] = {}
    digest, too_small = hashlib.sha256(), 0
    for done, name in enumerate(names):
        progress(done, len(names))
        try:
            sample = source.load(name)
        except BrokenSampleError as error:
            broken[name] = str(error)
            continue
        if not sample.objects and not with_empty:
            continue
        if _nbytes(sample) <= cache.maxsize:
            cache[name] = sample
        split = split_of(name)
        targets = [is_target(target.cropped) for target in sample.objects]
        too_small += targets.count(False)
        if any(targets) or split is Split.HELD_OUT or not targets:
            split_names[split].append(name)
            masks[split] += len(sample.objects)
        areas = [target.cropped.area for target in sample.objects]
        digest.update(f"{name} {sample.image.shape} {areas}\n".encode())
    progress(len(names), len(names))
    tuples = {split: tuple(members) for split, members in split_names.items()}
    return Examples(source, tuples, masks, broken, too_small, digest.hexdigest()[:8], cache)


def _evenly_spread(names: Sequence[str], limit: int | None) -> Sequence[str]:
    if limit is None or limit >= len(names):
        return names
    return [names[index * len(names) // limit] for index in range(limit)]


def _nbytes(sample: Sample) -> int:
    return int(sample.image.nbytes) + sum(target.cropped.part.nbytes for target in sample.objects)
