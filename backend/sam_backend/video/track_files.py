"""The files of followed objects: a table, a mask of each object in each frame, and a video of the result."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco

from sam_backend.errors import BadRequestError
from sam_backend.files import remove_stale, whole_file
from sam_backend.safe_text import original_cell, safe_cell
from sam_backend.samples import Cropped
from sam_backend.video.following import FollowedFrame
from sam_backend.video.reading import Video
from sam_backend.video.writing import draw_objects, video_writer

TRACKS, MASKS, RESULT = "tracks.csv", "masks.jsonl", "result.mp4"
COLUMNS = ("frame", "time", "id", "label", "x0", "y0", "x1", "y1", "score", "visible")


@dataclass(frozen=True)
class TrackRow:
    """Where an object is in a frame: a row of the table.

    Attributes
    ----------
    frame : int, from 0.
    time : float, seconds.
    number : int, the object's.
    label : str.
    box : x0, y0, x1, y1 in pixels, half-open; None where the object is not visible.
    score : float in 0..1.
    """

    frame: int
    time: float
    number: int
    label: str
    box: tuple[int, int, int, int] | None
    score: float


def rows_of(followed: FollowedFrame, labels: Mapping[int, str]) -> list[TrackRow]:
    """Return the rows of a frame."""
    index, time = followed.frame.index, followed.frame.time
    boxes = {number: one.mask.box if one.visible else None for number, one in followed.objects.items()}
    return [
        TrackRow(index, time, number, labels.get(number, ""), boxes[number], one.score)
        for number, one in followed.objects.items()
    ]


def write_tracks(
    folder: Path, video: Video, followed: Iterable[FollowedFrame], labels: Mapping[int, str]
) -> dict[int, int]:
    """Write the three files, each whole or not at all; return in how many frames each object is seen."""
    seen = dict.fromkeys(labels, 0)
    # What a killed run left.
    for part in folder.glob("*.part"):
        remove_stale(part)
    with ExitStack() as stack:
        table, masks, result = (
            stack.enter_context(whole_file(folder / name, private=False)) for name in (TRACKS, MASKS, RESULT)
        )
        lines = csv.writer(stack.enter_context(table.open("w", encoding="utf-8", newline="")))
        runs = stack.enter_context(masks.open("w", encoding="utf-8"))
        add = stack.enter_context(video_writer(result, video))
        lines.writerow(COLUMNS)
        for one in followed:
            rows = rows_of(one, labels)
            for row in rows:
                seen[row.number] += row.box is not None
                lines.writerow(_cells(row))
            runs.write(json.dumps(_masks(one, labels), ensure_ascii=False) + "\n")
            add(draw_objects(one.frame.pixels, one.objects, labels), one.frame.time)
    return seen


def read_tracks(path: Path) -> list[TrackRow]:
    """Read a table that `write_tracks` wrote.

    Raises
    ------
    BadRequestError
        If it cannot be read, or is no such table.
    """
    try:
        # A spreadsheet may have written a byte order mark before the table.
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            if not {*COLUMNS} <= {*(table.fieldnames or ())}:
                raise KeyError
            return [_row(cells) for cells in table]
    except OSError as error:
        raise BadRequestError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, csv.Error):
        raise BadRequestError(
            f"{path} is no table of tracks; expected the file {TRACKS} of sam-inspect track, with the columns "
            f"{', '.join(COLUMNS)}."
        ) from None


def _cells(row: TrackRow) -> tuple[Any, ...]:
    box = ("",) * 4 if row.box is None else row.box
    visible = int(row.box is not None)
    return row.frame, f"{row.time:.6f}", row.number, safe_cell(row.label), *box, f"{row.score:.4f}", visible


def _row(cells: Mapping[str, str]) -> TrackRow:
    left, top, right, bottom = (int(cells[name] or 0) for name in COLUMNS[4:8])
    box = (left, top, right, bottom) if int(cells["visible"]) else None
    frame, number = int(cells["frame"]), int(cells["id"])
    return TrackRow(frame, float(cells["time"]), number, original_cell(cells["label"]), box, float(cells["score"]))


def _masks(followed: FollowedFrame, labels: Mapping[int, str]) -> dict[str, Any]:
    objects = [
        {"id": number, "label": labels.get(number, ""), "score": round(one.score, 4), "segmentation": _runs(one.mask)}
        for number, one in followed.objects.items()
        if one.visible
    ]
    return {"frame": followed.frame.index, "time": round(followed.frame.time, 6), "objects": objects}


def _runs(mask: Cropped) -> dict[str, Any]:
    """Return COCO's compressed run-lengths of a mask."""
    runs = coco.encode(np.asfortranarray(mask.mask).view(np.uint8))
    return {"size": list(mask.size), "counts": runs["counts"].decode("ascii")}
