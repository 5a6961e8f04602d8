"""What was answered moments ago: the page saves an accepted suggestion only seconds later, and a request lacks it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property

from cachetools import LRUCache

from sam_backend.core.clicks import Clicks
from sam_backend.labelstudio.mask_runs import MaskRuns
from sam_backend.labelstudio.page_regions import PageRegion

Place = tuple[str, str, str, int, str]
"""An image of a task: project, task, name of the image's tag, index in its list, and the key of its embedding.

The key tells images apart where the task got another image, or where requests name no task.
"""

_LIMIT = 32 * 2**20
_MOST_AN_IMAGE = 200
_OVERHEAD = 2_000
"""Bytes of an answer beside its regions and masks."""


@dataclass(frozen=True, eq=False)
class Start:
    """What a correction started from.

    Attributes
    ----------
    region : PageRegion, the region as it was.
    mask : MaskRuns, its mask.
    clicks : Clicks, the earlier clicks on this region that its mask fulfils.
    """

    region: PageRegion
    mask: MaskRuns
    clicks: Clicks


@dataclass(frozen=True, eq=False)
class Answered:
    """A region that was answered.

    Attributes
    ----------
    region : PageRegion, as answered.
    mask : MaskRuns, its mask.
    clicks : Clicks, all that led to it.
    start : Start, what was corrected; None for a new region.
    ids : the ids of the drawn prompts.
    drawn : Clicks, of the prompt, so that the next click of the same suggestion is known; None for a further piece.
    saved : str, `Page.saved` of the request.
    """

    region: PageRegion
    mask: MaskRuns
    clicks: Clicks
    start: Start | None
    ids: tuple[str, ...]
    drawn: Clicks | None
    saved: str

    @cached_property
    def nbytes(self) -> int:
        """Bytes held, about."""
        before = self.start.region.nbytes + self.start.mask.nbytes if self.start else 0
        return _OVERHEAD + self.region.nbytes + self.mask.nbytes + before


class AnsweredRegions:
    """The latest answers of each image, bounded in memory. Safe to share between threads.

    A restarted backend has none of them, and then knows an accepted suggestion once the page has saved it.

    Parameters
    ----------
    limit_bytes : int, the limit of what is kept; images without a click for the longest time are dropped first.
    """

    def __init__(self, limit_bytes: int = _LIMIT) -> None:
        self._places: LRUCache[Place, tuple[Answered, ...]] = LRUCache(
            limit_bytes, getsizeof=lambda answers: sum(answer.nbytes for answer in answers)
        )
        self._lock = threading.Lock()

    def of(self, place: Place) -> tuple[Answered, ...]:
        """Return the answers on an image, the oldest first, one a region."""
        with self._lock:
            return self._places.get(place, ())

    def put(self, place: Place, answer: Answered) -> None:
        """Keep an answer in the place of the region's earlier one."""
        self._change(place, answer.region.id, (answer,))

    def forget(self, place: Place, region_id: str) -> None:
        """Forget a region that the page does not have."""
        self._change(place, region_id, ())

    def _change(self, place: Place, region_id: str, new: tuple[Answered, ...]) -> None:
        with self._lock:
            others = tuple(answer for answer in self._places.pop(place, ()) if answer.region.id != region_id)
            answers = (others + new)[-_MOST_AN_IMAGE:]
            while answers and sum(answer.nbytes for answer in answers) > self._places.maxsize:
                answers = answers[1:]
            if answers:
                self._places[place] = answers
