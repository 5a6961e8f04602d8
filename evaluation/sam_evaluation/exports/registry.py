"""The list of all formats of an export, by the name that a user gives."""

from __future__ import annotations

from typing import Any

from sam_backend.names import did_you_mean
from sam_evaluation.errors import EvaluationError
from sam_evaluation.exports.coco import Coco, CocoPolygons
from sam_evaluation.exports.coco_panoptic import CocoPanoptic
from sam_evaluation.exports.datumaro import Datumaro
from sam_evaluation.exports.labelme import Labelme
from sam_evaluation.exports.png import Png
from sam_evaluation.exports.voc import Voc
from sam_evaluation.exports.writer import FormatCard, Writer
from sam_evaluation.exports.yolo import YoloBoxes, YoloPolygons

_FORMATS: dict[str, type[Writer]] = {
    writer.card.name: writer
    for writer in (Coco, CocoPolygons, CocoPanoptic, YoloPolygons, YoloBoxes, Voc, Png, Labelme, Datumaro)
}


def known_formats() -> tuple[FormatCard, ...]:
    """Return the cards of all formats."""
    return tuple(writer.card for writer in _FORMATS.values())


def writer_class(name: str) -> Any:
    """Return the writer of a format.

    Raises
    ------
    EvaluationError
        If there is no such format.
    """
    if name not in _FORMATS:
        hint = did_you_mean(name, _FORMATS)
        raise EvaluationError(f"There is no export to {name!r}; the formats are {', '.join(_FORMATS)}{hint}")
    return _FORMATS[name]
