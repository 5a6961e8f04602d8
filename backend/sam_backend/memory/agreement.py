"""What became of proposals in the annotations that were begun with them: a line an annotation, kept for good."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sam_backend.files import append_line
from sam_backend.labelstudio.region_changes import Outcome
from sam_backend.memory.record_files import FileStamp, stamp_of
from sam_backend.memory.records import instant

logger = logging.getLogger(__name__)

_NAME = "agreement.jsonl"
_DAYS, _WEEKS = 28, 52
"""Days that are shown one by one; a longer time is shown by weeks, the last ones."""


@dataclass(frozen=True)
class Compared:
    """An annotation compared with the prediction that it was begun with.

    Attributes
    ----------
    annotation : int, its id.
    updated : str, the time of its last change, ISO 8601.
    model : str, the version of the model that predicted.
    outcomes : dict, outcome -> regions; see `Outcome`.
    ious : list of float, of each region that was kept with its prediction.
    problem : str, why the two could not be compared; "" where they were.
    """

    annotation: int
    updated: str
    model: str = ""
    outcomes: dict[str, int] = field(default_factory=dict)
    ious: list[float] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True)
class Agreement:
    """How the proposals of some annotations fared.

    Attributes
    ----------
    start : str, the first day, ISO 8601; "" of no time in particular.
    days : int, how many days; 0 of no time in particular.
    annotations : int, that were begun with a prediction.
    outcomes : dict, each outcome -> regions.
    iou : float or None, the mean of the regions that were kept with their predictions.
    """

    start: str
    days: int
    annotations: int
    outcomes: dict[str, int]
    iou: float | None

    @property
    def proposals(self) -> int:
        """The number of regions that were proposed."""
        return sum(self.outcomes.values()) - self.outcomes[Outcome.ADDED]

    @property
    def unchanged(self) -> float | None:
        """The share of the proposals that was accepted unchanged; None without proposals."""
        return self.outcomes[Outcome.UNCHANGED] / self.proposals if self.proposals else None


def agreement(compared: Iterable[Compared], start: str = "", days: int = 0) -> Agreement:
    """Return how the proposals of some annotations fared together."""
    good = [one for one in compared if not one.problem]
    outcomes = Counter({outcome.value: 0 for outcome in Outcome})
    for one in good:
        outcomes.update(one.outcomes)
    ious = [iou for one in good for iou in one.ious]
    mean = round(sum(ious) / len(ious), 4) if ious else None
    return Agreement(start, days, len(good), dict(outcomes), mean)


def agreement_over_time(compared: Iterable[Compared]) -> list[Agreement]:
    """Return the agreement by day if all are of four weeks, else by week, from Monday on, of the last year."""
    days: dict[date, list[Compared]] = {}
    for one in compared:
        if not one.problem:
            days.setdefault(instant(one.updated).date(), []).append(one)
    if not days:
        return []
    last, length = max(days), 1 if max(days) - min(days) < timedelta(_DAYS) else 7
    periods: dict[date, list[Compared]] = {}
    for day, several in days.items():
        start = day - timedelta(day.weekday() if length > 1 else 0)
        if last - start < timedelta(7 * _WEEKS):
            periods.setdefault(start, []).extend(several)
    return [agreement(periods[start], start.isoformat(), length) for start in sorted(periods)]


class AgreementFile:
    """The comparisons of one project, on disk; processes may share it if one writes at a time. Safe to share.

    Parameters
    ----------
    folder : Path of the project's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME
        self._lock = threading.Lock()
        self._first: bytes | None = None
        """The first line of the file; None where it was not read, or could not be read the last time."""
        self._done = 0
        """The bytes of the file that were read."""
        self._known: dict[int, Compared] = {}
        self.problem = ""
        """What is damaged, in one sentence, as `all` found it; "" where nothing is."""

    def all(self) -> Mapping[int, Compared]:
        """Return annotation -> its latest comparison, those that failed too."""
        with self._lock:
            try:
                self._read_on()
            except OSError as error:
                self._first = None
                self._tell(f"{self._path} cannot be read: {error.strerror or error}")
            return dict(self._known)

    @property
    def is_read(self) -> bool:
        """Whether `all` could read the file the last time."""
        return self._first is not None

    def state(self) -> FileStamp:
        """Return a value that changes with the comparisons; zeros where the folder cannot be read."""
        try:
            return stamp_of(self._path)
        except OSError:
            return 0, 0

    def add(self, compared: Compared) -> None:
        """Keep a comparison in place of the annotation's earlier one; OSError if it cannot be written."""
        append_line(self._path, json.dumps(asdict(compared)))

    def forget(self) -> None:
        """Forget all comparisons; OSError if the file cannot be removed."""
        self._path.unlink(missing_ok=True)

    def _read_on(self) -> None:
        """Read the lines that were added since the last time."""
        try:
            with self._path.open("rb") as file:
                first = file.readline()
                # Another process may have forgotten everything, and begun again.
                if first != self._first or file.seek(0, os.SEEK_END) < self._done:
                    self._known, self._done, self.problem = {}, 0, ""
                file.seek(self._done)
                whole = file.read().rpartition(b"\n")[0]
        except FileNotFoundError:
            first, whole, self._known, self._done, self.problem = b"", b"", {}, 0, ""
        for line in whole.split(b"\n") if whole else ():
            try:
                one = _compared(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
                self._tell(f"{self._path} has a damaged line, which is left out; remove it.")
                continue
            self._known[one.annotation] = one
        self._first, self._done = first, self._done + len(whole) + bool(whole)

    def _tell(self, problem: str) -> None:
        """Keep what is damaged; the log has it once."""
        if problem != self.problem:
            logger.warning("%s", problem)
        self.problem = problem


def _compared(values: dict[str, Any]) -> Compared:
    outcomes = {outcome.value: int(values["outcomes"].get(outcome, 0)) for outcome in Outcome}
    ious = [float(iou) for iou in values["ious"]]
    if not all(0 <= iou <= 1 for iou in ious) or min(outcomes.values()) < 0:
        raise ValueError("No IoU is outside of 0 to 1, and no number of regions below 0.")
    updated, model, problem = (str(values[name]) for name in ("updated", "model", "problem"))
    return Compared(int(values["annotation"]), updated, model, outcomes, ious, problem)
