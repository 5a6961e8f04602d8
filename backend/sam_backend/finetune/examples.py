"""What a model is tuned on, chosen by and judged on: accepted masks, split by image, the same way every time."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from cachetools import LRUCache

from sam_backend.errors import BrokenSampleError, SamInspectError
from sam_backend.samples import Sample
from sam_evaluation.comparison import FEWEST_IMAGES
from sam_evaluation.datasets.dataset import Dataset
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule
from sam_evaluation.datasets.registry import DatasetSpec

_MEMORY_BYTES = 2**30


class Share(StrEnum):
    """What an image is used for, ever."""

    TRAINING = "training"
    VALIDATION = "validation"
    HELD_OUT = "held-out"


SHARES = {Share.TRAINING: 0.65, Share.VALIDATION: 0.10, Share.HELD_OUT: 0.25}
"""A quarter is held out, for a gate that sees few images lets nothing through."""

FEWEST = {Share.TRAINING: 10, Share.VALIDATION: 2, Share.HELD_OUT: FEWEST_IMAGES}
"""Images with masks that a training needs of each share."""


class TooFewMasksError(SamInspectError):
    """There are not enough accepted masks to learn from and to be judged on."""


def share_of(name: str) -> Share:
    """Return what an image is used for: a function of its name alone, so that no later image moves it.

    Examples
    --------
    >>> share_of("000201.jpg") is share_of("000201.jpg")
    True
    """
    place = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") / 2**64
    for share, width in SHARES.items():
        if place < width:
            return share
        place -= width
    return Share.HELD_OUT


@dataclass(frozen=True, eq=False)
class Examples:
    """The images with masks of a data set.

    Attributes
    ----------
    dataset : they are read from.
    names : of the images of each share.
    masks : how many masks each share has.
    broken : why an image could not be used, by its name.
    fingerprint : eight hex digits that change with any mask or image size.
    """

    dataset: Dataset
    names: Mapping[Share, tuple[str, ...]]
    masks: Mapping[Share, int]
    broken: Mapping[str, str]
    fingerprint: str
    _kept: LRUCache[str, Sample]
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def load(self, name: str) -> Sample:
        """Return an image and its masks, to any thread; what was read lately is kept in memory."""
        with self._lock:
            found: Sample | None = self._kept.get(name)
        if found is None:
            found = self.dataset.load(name)
            if _nbytes(found) <= self._kept.maxsize:
                with self._lock:
                    self._kept[name] = found
        return found

    def require_enough(self) -> None:
        """Check that there is enough of each share.

        Raises
        ------
        TooFewMasksError
            If not; it says how many are needed.
        """
        short = {share: needed for share, needed in FEWEST.items() if len(self.names[share]) < needed}
        if not short:
            return
        found = sum(map(len, self.names.values()))
        # What is missing of a share comes with all the images that fall into the others.
        more = max((needed - len(self.names[share])) / SHARES[share] for share, needed in short.items())
        which = ", ".join(f"{share} {len(self.names[share])} of {needed}" for share, needed in short.items())
        unread = f" {len(self.broken)} more could not be read." if self.broken else ""
        raise TooFewMasksError(
            f"Fine-tuning needs accepted masks on about {found + round(more + 0.5)} images, and there are {found} "
            f"({which}); accept masks on {round(more + 0.5)} more.{unread}"
        )


def read_examples(
    spec: DatasetSpec,
    limit: int | None = None,
    rule: ObjectRule = DEFAULT_RULE,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Examples:
    """Read every image and mask once, and split them.

    Images without any mask are left out: an empty annotation shows nothing to prompt for. So are images that cannot be
    read or whose mask has another size; `broken` tells why.

    Parameters
    ----------
    spec : names the data set.
    limit : about this many images, evenly spread; None for all.
    rule : how masks become objects.
    progress : told images done and in all.

    Raises
    ------
    EvaluationError
        If the data set cannot be read at all.
    """
    dataset = spec.open(rule)
    names = _spread(dataset.names(), limit)
    kept: LRUCache[str, Sample] = LRUCache(_MEMORY_BYTES, getsizeof=_nbytes)
    split: dict[Share, list[str]] = {share: [] for share in Share}
    masks = dict.fromkeys(Share, 0)
    broken: dict[str, str] = {}
    digest = hashlib.sha256(f"{spec.format}\n{spec.split}\n".encode())
    for done, name in enumerate(names):
        progress(done, len(names))
        try:
            sample = dataset.load(name)
        except BrokenSampleError as error:
            broken[name] = str(error)
            continue
        if not sample.objects:
            continue
        if _nbytes(sample) <= kept.maxsize:
            kept[name] = sample
        share = share_of(name)
        split[share].append(name)
        masks[share] += len(sample.objects)
        areas = [each.cropped.area for each in sample.objects]
        digest.update(f"{name} {sample.image.shape} {areas}\n".encode())
    progress(len(names), len(names))
    shares = {share: tuple(found) for share, found in split.items()}
    return Examples(dataset, shares, masks, broken, digest.hexdigest()[:8], kept)


def _spread(names: Sequence[str], limit: int | None) -> Sequence[str]:
    if limit is None or limit >= len(names):
        return names
    return [names[index * len(names) // limit] for index in range(limit)]


def _nbytes(sample: Sample) -> int:
    return int(sample.image.nbytes) + sum(each.cropped.part.nbytes for each in sample.objects)
