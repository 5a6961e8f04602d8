"""What was answered moments ago: the page saves an accepted suggestion only seconds later, and a request lacks it."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from pathlib import Path

from cachetools import LRUCache

from sam_backend.core.answered import Answered, pack, unpack
from sam_backend.core.answered_file import AnsweredFile

logger = logging.getLogger(__name__)

Place = tuple[str, str, str, int, str]
"""An image of a task: project, task, name of the image's tag, index in its list, and the key of its embedding.

The key tells images apart where the task got another image, or where requests name no task.
"""

_LIMIT = 32 * 2**20
_MOST_AN_IMAGE = 200
_UNKEPT = (sqlite3.Error, ValueError, TypeError, OverflowError)
"""What the file raises, and the packing of JSON that holds numbers or letters of no kind that is known."""


class AnsweredRegions:
    """The latest answers of each image, bounded in memory and on disk. Safe to share between threads.

    Servers with one folder share them, since the next click may come to another one. A server without a folder has none
    after a restart, and then knows an accepted suggestion once the page has saved it.

    Parameters
    ----------
    limit_bytes : int, the limit of what is kept in memory, and in the file; images without a click for the longest time
        are dropped first.
    folder : Path or None, the folder of the file; None keeps them in memory alone.
    """

    def __init__(self, limit_bytes: int = _LIMIT, folder: Path | None = None) -> None:
        self._places: LRUCache[Place, dict[int, Answered]] = LRUCache(
            limit_bytes, getsizeof=lambda answers: sum(answer.nbytes for answer in answers.values())
        )
        """Place -> the answers by their numbers in the file, the oldest first; below 0 are those that are not in it."""
        self._unshared = 0
        self._file = AnsweredFile.open(folder, limit_bytes) if folder else None
        self._lock = threading.Lock()

    def of(self, place: Place) -> tuple[Answered, ...]:
        """Return the answers on an image, the oldest first, one a region."""
        with self._lock:
            known = self._places.get(place, {})
            if self._file is not None:
                known = self._up_to_date(self._file, place, known)
            return tuple(known.values())

    def put(self, place: Place, answer: Answered) -> None:
        """Keep an answer in the place of the region's earlier one."""
        with self._lock:
            number = None
            if self._file is not None:
                try:
                    number = self._file.put(_key(place), answer.region.id, pack(answer), _MOST_AN_IMAGE)
                except _UNKEPT as error:
                    logger.warning("An answer is not shared with other servers: %s", error)
            if number is None:
                number = self._unshared = self._unshared - 1
            others = self._without(place, answer.region.id)
            self._keep(place, others | {number: answer})

    def forget(self, place: Place, region_id: str) -> None:
        """Forget a region that the page does not have."""
        with self._lock:
            if self._file is not None:
                try:
                    self._file.remove(_key(place), region_id)
                except _UNKEPT as error:
                    logger.warning("An answer is not forgotten: %s", error)
            self._keep(place, self._without(place, region_id))

    def _up_to_date(self, file: AnsweredFile, place: Place, known: dict[int, Answered]) -> dict[int, Answered]:
        """Return the answers that are in the file, then those that could not be written to it."""
        try:
            numbers = file.numbers(_key(place))
            if numbers == [number for number in known if number > 0]:
                return known
            answers = {number: known.get(number) or _read(file, number) for number in numbers}
        except sqlite3.Error as error:
            logger.warning("Answers of other servers cannot be read: %s", error)
            return known
        now = {number: answer for number, answer in answers.items() if answer}
        now |= {number: answer for number, answer in known.items() if number < 0}
        self._keep(place, now)
        return now

    def _without(self, place: Place, region_id: str) -> dict[int, Answered]:
        known = self._places.get(place, {})
        return {number: answer for number, answer in known.items() if answer.region.id != region_id}

    def _keep(self, place: Place, answers: dict[int, Answered]) -> None:
        self._places.pop(place, None)
        kept = dict(list(answers.items())[-_MOST_AN_IMAGE:])
        while kept and sum(answer.nbytes for answer in kept.values()) > self._places.maxsize:
            del kept[next(iter(kept))]
        if kept:
            self._places[place] = kept


def _key(place: Place) -> str:
    return json.dumps(place)


def _read(file: AnsweredFile, number: int) -> Answered | None:
    content = file.content(number)
    try:
        return None if content is None else unpack(content)
    except (ValueError, TypeError) as error:
        logger.warning("An answer of another server cannot be read: %s", error)
        return None
