"""One project's memory: examples of a model, the classes fitted to them, and how far its finds can be trusted."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from sam_backend.arrays import BoolArray
from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.files import write_whole
from sam_backend.memory.calibration import USUAL, Calibration, calibrate, rightness
from sam_backend.memory.features import BACKGROUND, AcceptedMask, Vectors, pool
from sam_backend.memory.proposals import Outline, find, without_duplicates
from sam_backend.memory.similarity import ClassModel, fit_classes
from sam_backend.memory.store import Example, ExampleHead, ExampleStore, Record, RecordKey, instant
from sam_backend.segmenters import Embedding, Segmenter

logger = logging.getLogger(__name__)

FOLDER = "memory"
"""Folder of the memories in the folder of what must survive a restart."""

LEAST_SCORE = 0.1
"""Finds that are less likely right than this are not shown."""

_LEFT_OUT_AT_MOST, _TURNS = 24, 6
"""Images that a calibration leaves out and looks at, and in how many turns."""

_MOST_OF_A_LABEL = 60
"""Examples of a label that are gone by, those changed last: more cost memory and time at each change."""

ReadMasks = Callable[[Record], Sequence[AcceptedMask]]
Embed = Callable[[Record], Embedding]


@dataclass(frozen=True, eq=False)
class Find:
    """Something that the memory found.

    Attributes
    ----------
    mask : (H, W) bool, in pixels of the image.
    label : its class.
    score : the probability that it has an IoU of a half with what somebody would accept.
    """

    mask: BoolArray
    label: str
    score: float


class ProjectMemory:
    """The memory of one project. Safe to share between threads.

    Parameters
    ----------
    folder : of this project alone.
    """

    def __init__(self, folder: Path) -> None:
        self.store = ExampleStore(folder)
        self._failed: set[tuple[str, str]] = set()
        self._read: tuple[object, dict[RecordKey, Vectors]] = (None, {})
        self._fitted: tuple[object, ClassModel | None] = (None, None)
        self._lock = threading.Lock()

    def catch_up(
        self,
        segmenter: Segmenter,
        embed: Embed,
        read_masks: ReadMasks,
        *,
        is_over: Callable[[], bool] = lambda: False,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Make examples of the records that the model has not looked at.

        What cannot be used is told in one line and kept as such, so that nobody looks at it again until it changes. An
        image that cannot be had is told as well, and tried again by the next process.

        Parameters
        ----------
        segmenter : the model.
        embed : gives the embedding of a record's image.
        read_masks : gives the masks of a record.
        is_over : asked before each image whether to end early.
        progress : told records done and in all.

        Raises
        ------
        BadRequestError
            If the model has no features to remember examples by.
        """
        version = segmenter.version
        waiting = [record for record in self.store.missing(version) if (version, str(record)) not in self._failed]
        for done, record in enumerate(waiting):
            if is_over():
                return
            progress(done, len(waiting))
            try:
                embedding = embed(record)
            except SamInspectError as error:
                self._failed.add((version, str(record)))
                logger.warning("Annotation %d of task %d is not learnt: %s", record.annotation, record.task, error)
                continue
            segmenter.features(embedding)
            problem = self._learn(record, segmenter, embedding, read_masks)
            if problem:
                logger.warning("Annotation %d of task %d is left out: %s", record.annotation, record.task, problem)
        progress(len(waiting), len(waiting))

    def _learn(self, head: Record, segmenter: Segmenter, embedding: Embedding, read_masks: ReadMasks) -> str:
        """Make an example of a record and keep it; return the problem where there is one."""
        vectors, problem = None, ""
        record = self.store.whole(head.key) or head
        try:
            masks = list(read_masks(record))
            for accepted in masks:
                if accepted.mask.shape != embedding.size:
                    wanted, drawn = (f"{width} x {height}" for height, width in (embedding.size, accepted.mask.shape))
                    raise BadRequestError(
                        f"It has a mask of {drawn} pixels, but the image has {wanted}; draw it again."
                    )
            drawn_on = [accepted for accepted in masks if accepted.mask.any()]
            if empty := len(masks) - len(drawn_on):
                # What is meant to be there is not known, so the image is no background either.
                if not drawn_on:
                    raise BadRequestError("All its masks are empty; draw them again.")
                logger.warning("Annotation %d: %d of its masks are empty and left out.", record.annotation, empty)
            vectors = pool(segmenter, embedding, drawn_on)
        except SamInspectError as error:
            problem = str(error)
        self.store.add_example(Example(record.key, record.updated, vectors, problem), segmenter.version)
        return problem

    def classes(self, version: str, knows: Callable[[str], bool]) -> ClassModel | None:
        """Return the classes of the examples; None where there is nothing that could be looked for.

        Parameters
        ----------
        version : of the model.
        knows : whether a label is still in use; examples of others count for nothing.
        """
        state, examples = self._vectors(version)
        vectors = list(examples.values())
        labels = _labels(vectors)
        known = tuple(label for label in labels if knows(label))
        with self._lock:
            if self._fitted[0] == (state, known):
                return self._fitted[1]
        if gone := [label for label in labels if label not in known]:
            logger.warning("The labeling config has no %s (any more); its examples are left aside.", ", ".join(gone))
        fitted = fit_classes(vectors, known) if known and _shows_background(vectors) else None
        with self._lock:
            self._fitted = ((state, known), fitted)
        return fitted

    def find(
        self, segmenter: Segmenter, embedding: Embedding, classes: ClassModel, *, limit: int | None = None
    ) -> list[Find]:
        """Return what is found in an image, the likeliest first; at most `limit`."""
        return self.finds(find(segmenter, embedding, classes), segmenter.version, embedding.size, limit=limit)

    def finds(
        self, outlines: Sequence[Outline], version: str, size: tuple[int, int], *, limit: int | None = None
    ) -> list[Find]:
        """Return those of an image's outlines that are worth showing, the likeliest first; at most `limit`.

        Parameters
        ----------
        outlines : of `proposals.find`.
        version : of the model that outlined them.
        size : (H, W) of the image.
        limit : None for all.
        """
        trust = self.calibration(version)
        scores = [trust.score(outline) for outline in outlines]
        kept = [index for index in without_duplicates(outlines, scores) if scores[index] >= LEAST_SCORE][:limit]
        finds = [Find(outlines[index].mask(size), outlines[index].label, scores[index]) for index in kept]
        return [found for found in finds if found.mask.any()]

    def calibration(self, version: str) -> Calibration:
        """Return how far finds can be trusted: as `recalibrate` found last, or as is usual."""
        known = self._kept(version)
        return USUAL if known is None else Calibration(tuple(known["weights"]), int(known["seen"]))

    def recalibrate(self, segmenter: Segmenter, embed: Embed, read_masks: ReadMasks) -> Calibration:
        """Leave examples out, look for their masks with the others, and learn from what was right.

        Examples of up to 24 images, those whose digests come first, a few at a time: the same examples give the same
        calibration whatever the order in which they came. While they stay the same, nothing is done.
        """
        version = segmenter.version
        _, examples = self._vectors(version)
        records = {record.key: record for record in self.store.heads() if record.key in examples}
        # By image, for another annotation of the same image would tell the answer.
        images = sorted({record.image for record in records.values()}, key=_digest)[:_LEFT_OUT_AT_MOST]
        chosen = {number: images.index(record.image) for number, record in records.items() if record.image in images}
        key = _digest(str([(number, records[number].updated) for number in sorted(chosen)]))
        known = self._kept(version)
        if known and known["key"] == key:
            return self.calibration(version)
        outlines: list[Outline] = []
        right: list[bool] = []
        for turn in range(_TURNS):
            left_out = [number for number, image in chosen.items() if image % _TURNS == turn]
            vectors = [each for number, each in examples.items() if number not in left_out]
            if not left_out or not _labels(vectors) or not _shows_background(vectors):
                continue
            classes = fit_classes(vectors, _labels(vectors))
            for number in left_out:
                try:
                    found = find(segmenter, embed(records[number]), classes)
                # Its image may be gone by now; the others still tell something.
                except SamInspectError as error:
                    logger.warning("Annotation %d is not looked for: %s", number[0], error)
                    continue
                accepted = read_masks(self.store.whole(number) or records[number])
                outlines += found
                right += rightness(found, [each for each in accepted if each.mask.any()])
        calibration = calibrate(outlines, right, USUAL)
        self._keep(calibration, key, version)
        return calibration

    def examples(self, version: str) -> dict[RecordKey, Vectors]:
        """Return the vectors that a model goes by, by annotation: of each label, those changed last."""
        return self._vectors(version)[1]

    def _vectors(self, version: str) -> tuple[object, dict[RecordKey, Vectors]]:
        """Return the vectors to go by, and something that differs where they do."""
        state = (version, self.store.state(version))
        with self._lock:
            if self._read[0] == state:
                return self._read
        found = self.store.vectors(version, _newest(self.store.example_heads(version).values()))
        with self._lock:
            self._read = (state, found)
        return state, found

    def _kept(self, version: str) -> dict[str, Any] | None:
        try:
            known = json.loads(self._calibration_path(version).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return known if isinstance(known, dict) and {"key", "weights", "seen"} <= set(known) else None

    def _keep(self, calibration: Calibration, key: str, version: str) -> None:
        content = json.dumps({"key": key, **asdict(calibration)}).encode()
        write_whole(self._calibration_path(version), content)

    def _calibration_path(self, version: str) -> Path:
        return self.store.folder / f"calibration-{quote(version, safe='')}.json"


class Memories:
    """The memories of all projects.

    Parameters
    ----------
    home : folder of what must survive a restart.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER
        self._open: dict[str, ProjectMemory] = {}
        self._lock = threading.Lock()

    def of(self, project: str) -> ProjectMemory:
        """Return the memory of a project, named by its uid, `<project id>.<unix time it was created>`."""
        with self._lock:
            if project not in self._open:
                self._open[project] = ProjectMemory(self._folder / quote(project, safe=""))
            return self._open[project]

    def projects(self) -> list[str]:
        """Return the uids of the projects that something was ever remembered of."""
        return sorted(unquote(path.name) for path in self._folder.glob("*") if path.is_dir())


def _newest(examples: Iterable[ExampleHead]) -> list[RecordKey]:
    """Return the annotations, by their ids, of the examples changed last, up to `_MOST_OF_A_LABEL` of each label."""
    counts: Counter[str] = Counter()
    chosen = []
    for each in sorted(examples, key=lambda each: (instant(each.record.updated), each.record.key), reverse=True):
        # What shows nothing but background is counted as such.
        labels = set(each.labels) - {BACKGROUND} or set(each.labels)
        if any(counts[label] < _MOST_OF_A_LABEL for label in labels):
            chosen.append(each.record.key)
            counts.update(labels)
    return sorted(chosen)


def _shows_background(vectors: Sequence[Vectors]) -> bool:
    return any((each.labels == BACKGROUND).any() for each in vectors)


def _labels(vectors: Sequence[Vectors]) -> list[str]:
    return sorted({str(label) for each in vectors for label in np.unique(each.labels)} - {BACKGROUND})


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
