"""The memory of one project: it learns examples, fits their classes, and proposes masks in new images."""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from cachetools import LRUCache

from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.memory.class_model import ClassModel, fit_classes
from sam_backend.memory.click_choice import LikeAccepted, RecentShares
from sam_backend.memory.example_masks import masks_on_image
from sam_backend.memory.example_store import ExampleStore
from sam_backend.memory.features import BACKGROUND, FeatureVectors, pool
from sam_backend.memory.fit_allowance import SECONDS_EACH, FitAllowance
from sam_backend.memory.left_out_examples import calibrate, read_calibration, read_click_weight
from sam_backend.memory.memory_proposer import MemoryProposer
from sam_backend.memory.records import EmbedRecord, Example, NewestExample, ReadMasks, Record, RecordKey
from sam_backend.memory.score_calibration import ScoreCalibration
from sam_backend.memory.vector_cache import VectorCache
from sam_backend.progress import ProgressCallback, no_progress
from sam_backend.segmenters import Embedding, Segmenter

logger = logging.getLogger(__name__)

_EXAMPLES_PER_LABEL = 60
"""Examples of a label that are used, those changed last; more would make every change slower."""

_LONG = 0.5
"""CPU seconds of a fit from which it waits for a moment without clicks."""

_FAILED = 10_000
"""Records without an image that are not tried again by this process; of more, the oldest are."""


def used_examples(labels: Iterable[Collection[str]]) -> list[int]:
    """Return the places of the examples that a memory uses, given the labels of each, those changed last first.

    They are the first ones, up to `_EXAMPLES_PER_LABEL` of each label. An example without a label shows background.

    Examples
    --------
    >>> len(used_examples([["pit"]] * 100 + [["pit", "crack"], []]))
    62
    """
    counts: Counter[str] = Counter()
    chosen = []
    for place, shown in enumerate(labels):
        # An example that shows only background counts as one of background.
        own = set(shown) - {BACKGROUND} or {BACKGROUND}
        if any(counts[label] < _EXAMPLES_PER_LABEL for label in own):
            chosen.append(place)
            counts.update(own)
    return chosen


_FitOf = tuple[tuple[str, object], tuple[str, ...]]
"""What a ClassModel was fitted to: the model's version, the state of the store, and the labels."""


class ProjectMemory:
    """The memory of one project. Safe to share between threads.

    Parameters
    ----------
    folder : Path of the project's folder.
    root : Path, a folder above it out of which no link may lead; None for the folder above.
    vectors : VectorCache, shared by projects; None for an own one.
    may_lag : bool, whether a fit that takes seconds waits for some more changes; see `FitAllowance`.
    """

    def __init__(
        self, folder: Path, root: Path | None = None, vectors: VectorCache | None = None, *, may_lag: bool = False
    ) -> None:
        self.store = ExampleStore(folder, root)
        self._vectors = vectors or VectorCache()
        self._failed: LRUCache[tuple[str, RecordKey, str], bool] = LRUCache(_FAILED)
        self._recent = RecentShares()
        self._labels: tuple[object, list[str]] = (None, [])
        self._fitted: tuple[_FitOf | None, ClassModel | None] = (None, None)
        each = SECONDS_EACH if may_lag else math.inf
        self._fits, self._calibrations = FitAllowance(each), FitAllowance(each)
        self._lock = threading.Lock()

    def catch_up(
        self,
        segmenter: Segmenter,
        embed: EmbedRecord,
        read_masks: ReadMasks,
        *,
        should_stop: Callable[[], bool] = lambda: False,
        progress: ProgressCallback = no_progress,
    ) -> None:
        """Make examples of the records of which the model has none.

        A record that cannot be used is logged in one line and marked, so that it is not tried again until it changes.
        An image that cannot be fetched is logged as well, and tried again by the next process.

        Parameters
        ----------
        segmenter : Segmenter.
        embed : EmbedRecord.
        read_masks : ReadMasks.
        should_stop : function that is called before each image; if it returns True, the rest is left for later.
        progress : ProgressCallback, called with the records done and the total.

        Raises
        ------
        BadRequestError
            If the model has no features.
        """
        version = segmenter.version
        waiting = [
            record
            for record in self.store.missing(version)
            if (version, record.key, record.updated) not in self._failed
        ]
        for done, record in enumerate(waiting):
            if should_stop():
                return
            progress(done, len(waiting))
            try:
                embedding = embed(record)
            # One image must not keep the others from being learnt.
            except Exception as error:
                self._failed[version, record.key, record.updated] = True
                logger.warning(
                    "Annotation %d of task %d is not learnt: %s",
                    record.annotation,
                    record.task,
                    error if isinstance(error, SamInspectError) else repr(error),
                )
                continue
            # Raises an error for a model without features, before anything is written.
            segmenter.features(embedding)
            problem = self._learn(record, segmenter, embedding, read_masks)
            if problem:
                logger.warning("Annotation %d of task %d is left out: %s", record.annotation, record.task, problem)
        progress(len(waiting), len(waiting))

    def learn(
        self,
        segmenter: Segmenter,
        embed: EmbedRecord,
        read_masks: ReadMasks,
        *,
        should_stop: Callable[[], bool] = lambda: False,
        wait_for_quiet: Callable[[], None] = lambda: None,
    ) -> None:
        """Make examples of what was accepted; fit classes and calibration anew as far as this was paid for.

        Parameters
        ----------
        segmenter : Segmenter.
        embed : EmbedRecord.
        read_masks : ReadMasks.
        should_stop : function that is called before each piece of work; if it returns True, the rest is left for later.
        wait_for_quiet : function that is called before a fit that took long the last time.
        """
        self.catch_up(segmenter, embed, read_masks, should_stop=should_stop)
        version = segmenter.version
        self._calibrations.pay((version, self.store.state()))
        if max(self._fits.cost, self._calibrations.cost) > _LONG:
            wait_for_quiet()
        if not should_stop():
            # A click uses the classes that were fitted last, and does not wait for this.
            self.classes(version, lambda label: True)
        if not should_stop() and self._calibrations.is_paid:
            with self._calibrations.spending():
                self.recalibrate(segmenter, embed, read_masks)

    def _learn(self, head: Record, segmenter: Segmenter, embedding: Embedding, read_masks: ReadMasks) -> str:
        """Make an example of a record and store it; return the problem, or ""."""
        record = self.store.whole(head.key)
        if record is None:
            return "its file is gone or damaged; run sam-inspect memory rebuild."
        vectors, problem = None, ""
        try:
            masks = masks_on_image(record, segmenter, embedding, read_masks)
            filled = [accepted for accepted in masks if accepted.mask.any()]
            if empty := len(masks) - len(filled):
                # An empty mask does not say where its object is, so the image is no example of background either.
                if not filled:
                    raise BadRequestError("All its masks are empty; draw them again.")
                logger.warning("Annotation %d: %d of its masks are empty and left out.", record.annotation, empty)
            vectors = pool(segmenter, embedding, filled)
        except SamInspectError as error:
            problem = str(error)
        self.store.add_example(Example(record.key, record.updated, vectors, problem), segmenter.version)
        return problem

    def classes(self, version: str, is_known: Callable[[str], bool]) -> ClassModel | None:
        """Return the classes of the examples; None if there are none, or if no example shows background.

        While the last fit is still to be paid for, they are those of some changes ago.

        Parameters
        ----------
        version : str, the model's version.
        is_known : function that returns whether a label is still in use; examples of other labels are left out.
        """
        state = (version, self.store.state())
        self._fits.pay(state)
        with self._lock:
            known_state, labels = self._labels
        if known_state != state:
            labels = sorted({label for _, shown, _ in self._newest(version) for label in shown} - {BACKGROUND})
            with self._lock:
                self._labels = (state, labels)
        known = tuple(label for label in labels if is_known(label))
        with self._lock:
            fit_of, fitted = self._fitted
        is_alike = fit_of is not None and fit_of[0][0] == version and fit_of[1] == known
        if fit_of == (state, known) or (is_alike and not self._fits.is_paid):
            return fitted
        if removed := [label for label in labels if label not in known]:
            names = ", ".join(removed)
            logger.warning("The labeling config has no %s (any more); its examples are left aside.", names)
        with self._fits.spending():
            fitted = fit_classes(list(self.examples(version).values()), known)
        with self._lock:
            self._fitted = ((state, known), fitted)
        return fitted

    def proposer(self, classes: ClassModel, version: str) -> MemoryProposer:
        """Return what the memory proposes now, with classes of a model's version."""
        return MemoryProposer(classes, self.calibration(version))

    def helping(self, segmenter: Segmenter, label: str | None, image: str) -> Segmenter:
        """Return a segmenter that answers a lone click with what looks like the accepted masks of a label.

        It is `segmenter` itself where the label has no examples yet, and where left-out examples say that this does not
        help. The classes are those fitted last, because a click does not wait for a fit.

        Parameters
        ----------
        segmenter : Segmenter.
        label : str, the label under which is clicked; None for none.
        image : str, unique for the image and the version of the segmenter.
        """
        with self._lock:
            fit_of, classes = self._fitted
        version = segmenter.version
        if classes is None or fit_of is None or fit_of[0][0] != version or label not in classes.labels:
            return segmenter
        weight = read_click_weight(self.store.folder, version)
        return LikeAccepted(segmenter, classes, label, weight, self._recent, image) if weight else segmenter

    def calibration(self, version: str) -> ScoreCalibration:
        """Return the calibration of the scores for a model's version: the one fitted last, or the default."""
        return read_calibration(self.store.folder, version)

    def recalibrate(self, segmenter: Segmenter, embed: EmbedRecord, read_masks: ReadMasks) -> ScoreCalibration:
        """Fit the calibration to the current examples; nothing is done if they are unchanged."""
        return calibrate(self.store, self.examples(segmenter.version), segmenter, embed, read_masks)

    def examples(self, version: str) -> dict[RecordKey, FeatureVectors]:
        """Return the vectors of the examples that a model uses: of each label, those changed last."""
        examples = {}
        for key, _, changed in self._newest(version):
            place = (self.store.folder, version, key, changed)
            vectors = self._vectors.get(place)
            if vectors is None:
                vectors = self.store.vectors(version, [key]).get(key)
                if vectors is None:
                    continue
                self._vectors.put(place, vectors)
            examples[key] = vectors
        return examples

    def _newest(self, version: str) -> list[NewestExample]:
        """Return the examples that are used, sorted by their keys."""
        examples = self.store.newest(version)
        return sorted(examples[place] for place in used_examples([labels for _, labels, _ in examples]))
