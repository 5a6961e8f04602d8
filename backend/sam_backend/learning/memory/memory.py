"""One project's memory: examples of a model, the classes fitted to them, and how far its finds can be trusted."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import numpy as np

from sam_backend.errors import BadRequestError
from sam_backend.learning.memory.calibration import USUAL, Calibration, calibrate, rightness
from sam_backend.learning.memory.features import BACKGROUND, AcceptedMask, Vectors, pool
from sam_backend.learning.memory.proposals import Outline, find, without_duplicates
from sam_backend.learning.memory.similarity import ClassModel, fit_classes
from sam_backend.learning.memory.store import Example, ExampleStore, Record
from sam_backend.segmenters import Embedding, Segmenter
from sam_backend.segmenters.protocol import BoolArray

logger = logging.getLogger(__name__)

FOLDER = "memory"
"""Folder of the memories in the folder of what must survive a restart."""

LEAST_SCORE = 0.3
"""Finds that are less likely right than this are not shown."""

_LEFT_OUT_AT_MOST = 24
"""Examples that a calibration leaves out and looks for: each costs a fit and an image."""

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
        self._fitted: tuple[object, ClassModel | None] = (None, None)
        self._lock = threading.Lock()

    def learn(self, record: Record, embedding: Embedding, read_masks: ReadMasks, version: str) -> str:
        """Make an example of a record and keep it; return the problem where there is one.

        What cannot be used is kept as such, so that it is told once and not looked at again until it changes.
        """
        try:
            masks = read_masks(record)
            for accepted in masks:
                if accepted.mask.shape != embedding.size:
                    wanted, drawn = (f"{width} x {height}" for height, width in (embedding.size, accepted.mask.shape))
                    raise BadRequestError(f"its masks are of an image of {drawn} pixels, but the image has {wanted}.")
            vectors, problem = pool(embedding, masks), ""
        except BadRequestError as error:
            vectors, problem = None, str(error)
        self.store.add_example(Example(record.annotation, record.updated, vectors, problem), version)
        return problem

    def classes(self, version: str, knows: Callable[[str], bool]) -> ClassModel | None:
        """Return the classes of the examples; None where there is nothing that could be looked for.

        Parameters
        ----------
        version : of the model.
        knows : whether a label is still in use; examples of others count for nothing.
        """
        state = self.store.state(version)
        # Whether labels are known is part of the key: a labeling config may change under the same examples.
        vectors = [example.vectors for example in self._examples(version, state) if example.vectors is not None]
        labels = sorted({str(label) for each in vectors for label in np.unique(each.labels)} - {BACKGROUND})
        known = tuple(label for label in labels if knows(label))
        key = (state, version, known)
        with self._lock:
            if self._fitted[0] == key:
                return self._fitted[1]
        if gone := [label for label in labels if label not in known]:
            logger.warning("The labeling config has no %s any more; its examples are left aside.", ", ".join(gone))
        fitted = fit_classes(vectors, known) if known and _shows_background(vectors) else None
        with self._lock:
            self._fitted = (key, fitted)
        return fitted

    def find(
        self, segmenter: Segmenter, embedding: Embedding, classes: ClassModel, *, limit: int | None = None
    ) -> list[Find]:
        """Return what is found in an image, the likeliest first; at most `limit`."""
        outlines = find(segmenter, embedding, classes)
        trust = self.calibration(segmenter.version)
        scores = [trust.score(outline) for outline in outlines]
        kept = [index for index in without_duplicates(outlines, scores) if scores[index] >= LEAST_SCORE][:limit]
        finds = [Find(outlines[index].mask(embedding.size), outlines[index].label, scores[index]) for index in kept]
        return [found for found in finds if found.mask.any()]

    def calibration(self, version: str) -> Calibration:
        """Return how far finds can be trusted: as `recalibrate` found last, or as is usual."""
        try:
            known = json.loads(self._calibration_path(version).read_text(encoding="utf-8"))
            return Calibration(tuple(known["weights"]), known["seen"])
        except (OSError, ValueError, KeyError, TypeError):
            return USUAL

    def recalibrate(self, segmenter: Segmenter, embed: Embed, read_masks: ReadMasks) -> Calibration:
        """Leave each example out, look for its masks with the others, and learn from what was right.

        Examples of up to 24 images, those whose digests come first, so that the same examples give the same
        calibration whatever the order in which they came.
        """
        version = segmenter.version
        examples = {number: each for number, each in self.store.examples(version).items() if each.vectors is not None}
        records = {record.annotation: record for record in self.store.records()}
        chosen = sorted(examples, key=lambda number: sha256(str(number).encode()).digest())[:_LEFT_OUT_AT_MOST]
        outlines: list[Outline] = []
        right: list[bool] = []
        for number in sorted(chosen):
            record = records[number]
            # Several annotations of one image would tell the answer.
            others = [each.vectors for other, each in examples.items() if records[other].image != record.image]
            vectors = [each for each in others if each is not None]
            labels = sorted({str(label) for each in vectors for label in np.unique(each.labels)} - {BACKGROUND})
            if not labels or not _shows_background(vectors):
                continue
            embedding, masks = embed(record), read_masks(record)
            found = find(segmenter, embedding, fit_classes(vectors, labels))
            outlines += found
            right += rightness(found, masks)
        calibration = calibrate(outlines, right, USUAL)
        self._keep(calibration, version)
        return calibration

    def _examples(self, version: str, state: object) -> list[Example]:
        with self._lock:
            known = getattr(self, "_read", None)
        if known is not None and known[0] == (state, version):
            found: list[Example] = known[1]
            return found
        found = list(self.store.examples(version).values())
        with self._lock:
            self._read = ((state, version), found)
        return found

    def _keep(self, calibration: Calibration, version: str) -> None:
        path = self._calibration_path(version)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(calibration)), encoding="utf-8")
        part.replace(path)

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


def _shows_background(vectors: Sequence[Vectors]) -> bool:
    return any((each.labels == BACKGROUND).any() for each in vectors)
