"""What left-out examples teach: their masks are searched and clicked with the help of the other examples."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import FiniteFloat, NonNegativeInt, TypeAdapter, ValidationError

from sam_backend.errors import SamInspectError
from sam_backend.files import name_on_disk, write_whole
from sam_backend.memory.class_model import fit_classes, labels_of
from sam_backend.memory.class_outlines import ClassOutline, find_outlines
from sam_backend.memory.click_choice import DEFAULT_WEIGHT, chosen_weight, click_gains
from sam_backend.memory.example_masks import masks_on_image
from sam_backend.memory.example_store import ExampleStore
from sam_backend.memory.features import FeatureVectors
from sam_backend.memory.records import EmbedRecord, ReadMasks, RecordKey
from sam_backend.memory.score_calibration import DEFAULT_CALIBRATION, ScoreCalibration, are_correct, fit_calibration
from sam_backend.segmenters import Segmenter

logger = logging.getLogger(__name__)

_MAX_IMAGES, _FOLDS = 24, 6
"""Images that a calibration leaves out, and in how many folds."""


@dataclass(frozen=True)
class _Fitted:
    """What `calibrate` writes: the examples' digest, the calibration, and how much a lone click heeds the memory."""

    key: str
    weights: tuple[FiniteFloat, ...]
    seen: NonNegativeInt
    click_weight: FiniteFloat


def read_calibration(folder: Path, version: str) -> ScoreCalibration:
    """Return the calibration that `calibrate` wrote last for a model's version, or the default."""
    fitted = _read(folder, version)
    return DEFAULT_CALIBRATION if fitted is None else ScoreCalibration(fitted.weights, fitted.seen)


def read_click_weight(folder: Path, version: str) -> float:
    """Return how much a lone click heeds the memory, as `calibrate` found out last, or the default."""
    fitted = _read(folder, version)
    return DEFAULT_WEIGHT if fitted is None else fitted.click_weight


def calibrate(
    store: ExampleStore,
    examples: Mapping[RecordKey, FeatureVectors],
    segmenter: Segmenter,
    embed: EmbedRecord,
    read_masks: ReadMasks,
) -> ScoreCalibration:
    """Fit the calibration of a project, and how much a click heeds the memory, unless the examples are unchanged.

    Both are written to the project's folder.

    Examples of up to 24 images are left out, a few at a time. The digests of the images decide which, so that the same
    examples give the same calibration in any order.

    Parameters
    ----------
    store : ExampleStore of the project.
    examples : the vectors of the examples.
    segmenter : Segmenter.
    embed : EmbedRecord.
    read_masks : ReadMasks.
    """
    version = segmenter.version
    records = {record.key: record for record in store.heads(examples)}
    # By image, because another annotation of the same image would give the answer away.
    images = sorted({record.image for record in records.values()}, key=_digest)[:_MAX_IMAGES]
    folds = {key: images.index(record.image) % _FOLDS for key, record in records.items() if record.image in images}
    state = _digest(str([(key, records[key].updated) for key in sorted(folds)]))
    known = _read(store.folder, version)
    if known and known.key == state:
        return read_calibration(store.folder, version)
    outlines: list[ClassOutline] = []
    correct: list[bool] = []
    gains: list[NDArray[np.float64]] = []
    for fold in range(_FOLDS):
        left_out = [key for key, number in folds.items() if number == fold]
        others = [vectors for key, vectors in examples.items() if key not in left_out]
        classes = fit_classes(others, labels_of(others)) if left_out else None
        if classes is None:
            continue
        for key in left_out:
            record = store.whole(key)
            if record is None:
                continue
            try:
                embedding = embed(records[key])
                accepted = masks_on_image(record, segmenter, embedding, read_masks)
                filled = [mask for mask in accepted if mask.mask.any()]
                candidates = find_outlines(segmenter, embedding, classes)
                gains.append(click_gains(segmenter, embedding, classes, filled))
            # Its image may be gone by now; the other images are enough.
            except SamInspectError as error:
                logger.warning("Annotation %d is left out of the calibration: %s", key[0], error)
                continue
            outlines += candidates
            correct += are_correct(candidates, filled)
    calibration = fit_calibration(outlines, correct, DEFAULT_CALIBRATION)
    weight = chosen_weight(np.concatenate(gains) if gains else np.zeros((0, 0)))
    fitted = _Fitted(state, calibration.weights, calibration.outlines, weight)
    write_whole(_path(store.folder, version), json.dumps(asdict(fitted)).encode())
    return calibration


def _read(folder: Path, version: str) -> _Fitted | None:
    """Return what was written last; None where there is nothing, or another program damaged it."""
    try:
        fitted = _reader().validate_json(_path(folder, version).read_bytes())
    except (OSError, ValidationError):
        return None
    return fitted if len(fitted.weights) == len(DEFAULT_CALIBRATION.weights) else None


@cache
def _reader() -> TypeAdapter[_Fitted]:
    return TypeAdapter(_Fitted)


def _path(folder: Path, version: str) -> Path:
    return folder / f"calibration-{name_on_disk(version)}.json"


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
