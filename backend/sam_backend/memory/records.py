"""Records and examples: the values that the store of a memory keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sam_backend.memory.features import AcceptedMask, FeatureVectors
from sam_backend.segmenters import Embedding
from sam_backend.segmenters.views import View

_LONG_AGO = datetime.min.replace(tzinfo=UTC)

RecordKey = tuple[int, int]
"""The annotation's id and the index of the image among those of its task."""


@dataclass(frozen=True)
class Record:
    """The last known state of an annotation on one image.

    Attributes
    ----------
    annotation : int, its id.
    updated : str, the time of its last change, ISO 8601; "" where it is unknown.
    task : int, the id of its task.
    image : str, the address of the image.
    regions : the entries of the annotation's `result` that are masks, unchanged; they are decoded with the image.
    left_out : str, why the record is no example, for example "it was skipped"; "" where it is one.
    deleted : bool, whether the annotation was deleted, which is final.
    index : int, which image of the task, from 0.
    prediction : int, the id of the prediction that somebody opened and began the annotation with; 0 without one.
    masks : dict, label -> number of its masks.
    """

    annotation: int
    updated: str = ""
    task: int = 0
    image: str = ""
    regions: list[dict[str, Any]] = field(default_factory=list)
    left_out: str = ""
    deleted: bool = False
    index: int = 0
    prediction: int = 0
    masks: dict[str, int] = field(default_factory=dict)

    @property
    def key(self) -> RecordKey:
        """The key, unique in the project."""
        return self.annotation, self.index

    def is_newer_than(self, other: Record) -> bool:
        """Return whether this replaces another record of the annotation, whichever came first."""
        if self.deleted or other.deleted:
            return self.deleted and not other.deleted
        return instant(self.updated) > instant(other.updated)

    @property
    def is_usable(self) -> bool:
        """Whether an example can be made of the record."""
        return not self.deleted and not self.left_out


@dataclass(frozen=True, eq=False)
class Example:
    """The vectors that a model made of a record.

    Attributes
    ----------
    key : RecordKey of the record.
    updated : str, the record's time of change.
    vectors : FeatureVectors; None where the record cannot be used, for the reason in `problem`.
    problem : str, "" where there is none.
    """

    key: RecordKey
    updated: str
    vectors: FeatureVectors | None
    problem: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of its vectors, with the background's."""
        return () if self.vectors is None else tuple(sorted({str(label) for label in self.vectors.labels}))


@dataclass(frozen=True)
class ExampleHead:
    """An example without its vectors.

    Attributes
    ----------
    record : Record, without its regions.
    labels : the labels of its vectors, with the background's; none where the record cannot be used.
    problem : str, why it cannot be used; "" where it can.
    """

    record: Record
    labels: tuple[str, ...]
    problem: str


@dataclass(frozen=True)
class Accepted:
    """How much of a project was accepted: annotations, the images that they are on, and the last change, ISO 8601."""

    annotations: int
    images: int
    last: str


NewestExample = tuple[RecordKey, tuple[str, ...], int]
"""The key of an example, the labels of its vectors, and the time of its file's last change in ns."""

EmbedRecord = Callable[[Record], Embedding]
"""A function that computes the embedding of a record's image, of a large one that of a view (`View.part_of`);
SamInspectError if the image cannot be fetched."""

ReadMasks = Callable[[Record, View | None], Sequence[AcceptedMask]]
"""A function that decodes the accepted masks of a record, or what a view of its image shows of them; SamInspectError
if it cannot."""


def instant(text: str) -> datetime:
    """Parse an ISO 8601 text; return a time long ago if it is invalid."""
    try:
        time = datetime.fromisoformat(text)
    except (ValueError, TypeError, OverflowError):
        return _LONG_AGO
    return time if time.tzinfo else time.replace(tzinfo=UTC)
