"""Counts what a reader does not use, so that nothing is left out silently."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sam_backend.arrays import ImageArray
from sam_backend.samples import Object, Sample
from sam_evaluation.errors import BrokenSampleError


class OddShapeError(Exception):
    """One annotation cannot be used. It costs that annotation, not its image.

    Attributes
    ----------
    reason : str, the kind of the fault, the same text for all annotations that have it.
    detail : str, a sentence about this annotation; it is shown where the image has no other annotation.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass
class Tally:
    """What was left out of one sample.

    Attributes
    ----------
    counts : dict, reason -> how many annotations were left out.
    examples : dict, reason -> where the first of them is.
    details : list of str, a sentence for each annotation that hides an object of the image.
    notes : list of str, what was read otherwise than written.
    used : int, how many annotations were used, small objects included.
    """

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    details: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    used: int = 0

    def leave_out(self, reason: str, where: str = "", detail: str = "") -> None:
        """Count an annotation.

        Parameters
        ----------
        reason : str, the same text for all annotations that are left out for it.
        where : str, names the annotation inside its sample.
        detail : str, a sentence about it, if there is an object that cannot be read; "" for what is no object.
        """
        self.counts[reason] = self.counts.get(reason, 0) + 1
        if where:
            self.examples.setdefault(reason, where)
        if detail:
            self.details.append(detail)

    def add(self, sample: Sample) -> None:
        """Count what was left out of a sample."""
        for reason, number in sample.left_out.items():
            self.counts[reason] = self.counts.get(reason, 0) + number
            self.examples.setdefault(reason, sample.name)

    def sentences(self) -> list[str]:
        """Return a sentence for each reason, with its count and the first place."""
        firsts = {reason: f"; first: {where.rstrip('.')}" for reason, where in self.examples.items() if where}
        return [f"{n:,} left out: {reason}{firsts.get(reason, '')}." for reason, n in self.counts.items() if n]

    def odd(self, error: OddShapeError, where: str) -> None:
        """Count an annotation that cannot be used."""
        self.leave_out(error.reason, where, error.detail)

    def note(self, text: str) -> None:
        """Remember what was read otherwise than written."""
        if text and text not in self.notes:
            self.notes.append(text)

    def require_used(self) -> None:
        """Check that the image has no annotation, or one that can be used: else it is no image without objects.

        Raises
        ------
        BrokenSampleError
            If it has annotations and none can be used.
        """
        if self.details and not self.used:
            more = len(self.details) - 1
            others = f" None of the other {more} can be used either." if more else ""
            raise BrokenSampleError(f"{self.details[0]}{others}")

    def sample(self, name: str, image: ImageArray, objects: tuple[Object, ...], file: Path | None = None) -> Sample:
        """Return the sample, whose image is in `file`; the errors are those of `require_used`."""
        self.require_used()
        return Sample(name, image, objects, dict(self.counts), dict(self.examples), tuple(self.notes), file)
