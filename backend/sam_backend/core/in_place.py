"""Which region a prompt is about: one that is there, to be corrected in place, or a new one. The rule: decision 022."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sam_backend import deadlines
from sam_backend.arrays import FloatArray
from sam_backend.core.answered import Answered, Start
from sam_backend.core.answered_regions import AnsweredRegions, Place
from sam_backend.core.clicks import Clicks
from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.mask_runs import MaskRuns, box_iou
from sam_backend.labelstudio.messages import Task
from sam_backend.labelstudio.page_regions import Page, PageRegion, read_page
from sam_backend.labelstudio.prompts import DrawnPrompt
from sam_backend.labelstudio.region_json import make_regions, new_id, replace_mask
from sam_backend.labelstudio.region_masks import entries_by_region, region_id, region_labels
from sam_backend.labelstudio.region_runs import RegionRuns, is_elsewhere
from sam_backend.samples import Cropped
from sam_backend.segmenters.protocol import POSITIVE, Prompt

logger = logging.getLogger(__name__)

NEAR_SHARE = 0.1
"""How far from a mask's edge a positive click is still about it: this share of the square root of its area, ..."""
NEAR_LEAST, NEAR_MOST = 3.0, 30.0
"""... within these bounds, in pixels."""
TIGHT_IOU = 0.6
"""The least IoU of a drawn box with the box around a mask at which it replaces the mask."""
_SAME_IOU = 0.98
"""The least IoU of a saved mask with the answered one at which it is that answer: outlines are rounded when saved."""
_READING_SECONDS = 5.0
"""How long the masks of a page are read before a click is answered without the others."""
_MOST_CLICKS = 100
"""Most earlier clicks on a region that are kept, the newest ones."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What a prompt is about.

    Attributes
    ----------
    region_id : str, of the answer.
    region : PageRegion, the region that the answer replaces; None for a new one.
    start : Start, what is to be corrected; None where the prompt alone says what is wanted: a new region, or a box
        around an existing mask.
    saved : str, `Page.saved`.
    """

    region_id: str
    region: PageRegion | None = None
    start: Start | None = None
    saved: str = ""


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A region that is probably on the page; `is_open` says that the page may have rejected it, unsaved as it is."""

    region: PageRegion
    mask: MaskRuns
    clicks: Clicks
    is_open: bool = False


class InPlace:
    """Finds the region that a prompt is about, and remembers what was answered. Safe to share between threads.

    Parameters
    ----------
    enabled : bool; if not, every prompt is about a new region.
    tolerance : float, of the answered polygons in pixels.
    answered : AnsweredRegions, remembers what was answered.

    Attributes
    ----------
    runs : RegionRuns, the masks of pages that were decoded.
    """

    def __init__(self, enabled: bool, tolerance: float, answered: AnsweredRegions) -> None:
        self._enabled = enabled
        self._tolerance = tolerance
        self._answered = answered
        self.runs = RegionRuns()

    def subject(
        self,
        place: Place,
        task: Task,
        drawn: DrawnPrompt,
        prompt: Prompt,
        size: tuple[int, int],
        left_out: list[str],
    ) -> Subject:
        """Return what a prompt is about.

        Parameters
        ----------
        place : the image of the task.
        task : of the request.
        drawn : DrawnPrompt, as it came.
        prompt : Prompt, the same in pixels.
        size : (H, W) of the image in pixels.
        left_out : list of str, receives a sentence for masks that are damaged, and for those not read in time.
        """
        # A suggestion with the id of a selected region breaks the page of Label Studio 1.23.
        if not (self._enabled and drawn.has_own_labels):
            return Subject(new_id())
        page = read_page(task, drawn.target, drawn.item_index)
        clicks = Clicks(prompt.points, prompt.labels)
        answers = self._answered.of(place)
        for answer in reversed(answers):
            if answer.drawn is not None and len(clicks) and _continues(answer, drawn.ids, clicks):
                region = answer.start.region if answer.start else None
                return Subject(answer.region.id, region, answer.start, page.saved)
        near = _near(prompt)
        candidates = [
            candidate
            for candidate in self._candidates(place, page, answers, size, near, left_out)
            if drawn.label is None or not candidate.region.labels or drawn.label in candidate.region.labels
        ]
        if prompt.box is not None:
            around = _by_box(candidates, prompt.box.tolist())
            return Subject(around.region.id, around.region, None, page.saved) if around else _new(page)
        about = _by_clicks(candidates, clicks)
        if about is None:
            return _new(page)
        return Subject(about.region.id, about.region, Start(about.region, about.mask, about.clicks), page.saved)

    def answer(
        self, place: Place, subject: Subject, drawn: DrawnPrompt, clicks: Clicks, mask: Cropped, score: float
    ) -> list[dict[str, Any]]:
        """Return the regions that answer a prompt, its `clicks` in pixels, with a mask, and remember them."""
        if subject.region is None:
            regions = make_regions(
                mask,
                drawn.target,
                label=drawn.label,
                score=score,
                item_index=drawn.item_index,
                rotation=drawn.rotation,
                region_id=subject.region_id,
                prompted_with=drawn.control,
                tolerance=self._tolerance,
            )
        else:
            label = None if subject.region.labels else drawn.label
            tolerance = drawn.target.tolerance(str(subject.region.shape.get("from_name")), self._tolerance)
            regions = replace_mask(mask, subject.region.entries, label=label, score=score, tolerance=tolerance)
        if self._enabled and drawn.has_own_labels:
            self._remember(place, subject, drawn, clicks, regions, (mask.size[0], mask.size[1]))
        return regions

    def _remember(
        self,
        place: Place,
        subject: Subject,
        drawn: DrawnPrompt,
        clicks: Clicks,
        regions: Sequence[Mapping[str, Any]],
        size: tuple[int, int],
    ) -> None:
        everything = (subject.start.clicks + clicks if subject.start else clicks).last_word().newest(_MOST_CLICKS)
        for entries in entries_by_region(regions):
            region = _page_region(entries)
            runs = self.runs.of_entry(region.shape, size)
            if runs is None:
                continue
            own = region.id == subject.region_id
            self._answered.put(
                place,
                Answered(
                    region,
                    runs,
                    everything.fulfilled_by(runs),
                    subject.start if own else None,
                    drawn.ids,
                    clicks if own else None,
                    subject.saved,
                ),
            )

    def _candidates(
        self,
        place: Place,
        page: Page,
        answers: Sequence[Answered],
        size: tuple[int, int],
        near: FloatArray,
        left_out: list[str],
    ) -> Iterator[_Candidate]:
        remembered = {answer.region.id: answer for answer in answers}
        end, damaged = time.monotonic() + _READING_SECONDS, list[str]()
        for number, region in enumerate(page.regions.values()):
            deadlines.check()
            if time.monotonic() > end:
                sentence = (
                    f"Task {place[1]}: {len(page.regions) - number} of its {len(page.regions)} masks are not corrected "
                    f"in place by this click, since reading them takes longer than {_READING_SECONDS:g} s; the next "
                    "click goes on."
                )
                _leave_out(sentence, left_out)
                break
            answer = remembered.get(region.id)
            if answer is None and is_elsewhere(region.shape, size, near):
                continue
            try:
                mask = self.runs.of_entry(region.shape, size)
            except BadRequestError as error:
                damaged.append(f"{region.id[:40]}: {error}")
                continue
            if mask is None or not len(mask.starts):
                continue
            yield _Candidate(region, mask, Clicks.none()) if answer is None else _of_both(region, mask, answer, page)
        if damaged:
            _leave_out(
                f"Task {place[1]}: {len(damaged)} of its {len(page.regions)} masks cannot be corrected in place, since "
                f"they are damaged; the first is {damaged[0]}",
                left_out,
            )
        for id_, answer in remembered.items():
            if id_ in page.regions or id_ in page.kept or answer.mask.size != size:
                continue
            if _is_unsaved(answer, page):
                yield _Candidate(answer.region, answer.mask, answer.clicks, is_open=answer.start is None)
            elif id_ in page.ids:
                yield _Candidate(answer.region, answer.mask, answer.clicks)
            else:
                self._answered.forget(place, id_)


def _leave_out(sentence: str, left_out: list[str]) -> None:
    logger.warning(sentence)
    left_out.append(sentence)


def _near(prompt: Prompt) -> FloatArray:
    """Return boxes (N, 4), xyxy in pixels; masks outside all of them are not what a prompt is about."""
    if prompt.box is not None:
        return prompt.box[None]
    reach = NEAR_MOST + 1
    return np.concatenate([prompt.points - reach, prompt.points + reach], axis=1)


def _of_both(region: PageRegion, mask: MaskRuns, answer: Answered, page: Page) -> _Candidate:
    """Return a region that the page has saved and that was answered: as answered, or as somebody changed it since."""
    if mask.is_like(answer.mask, _SAME_IOU):
        return _Candidate(region, mask, answer.clicks)
    if _is_unsaved(answer, page):
        return _Candidate(region, answer.mask, answer.clicks)
    rejected = answer.start is not None and mask.is_like(answer.start.mask, _SAME_IOU)
    clicks = answer.start.clicks if rejected and answer.start else answer.clicks
    return _Candidate(region, mask, clicks.fulfilled_by(mask))


def _is_unsaved(answer: Answered, page: Page) -> bool:
    """Return whether the page saved nothing since the answer, or only while the answer was a suggestion still."""
    return page.saved == answer.saved or not page.ids.isdisjoint(answer.ids)


def _continues(answer: Answered, ids: tuple[str, ...], clicks: Clicks) -> bool:
    """Return whether clicks go on with the suggestion of an answer: until it is accepted, all of them are sent."""
    assert answer.drawn is not None
    return len(answer.drawn) > 0 and ids[: len(answer.ids)] == answer.ids and answer.drawn.begins(clicks)


def _by_clicks(candidates: Sequence[_Candidate], clicks: Clicks) -> _Candidate | None:
    """Return the region that the first click with a meaning is about; None for a new region."""
    for (x, y), label in zip(clicks.points.tolist(), clicks.labels.tolist(), strict=True):
        inside = [candidate for candidate in candidates if candidate.mask.contains(x, y)]
        if label != POSITIVE:
            if inside:
                return _smallest(inside)
            continue
        # Who clicks inside what was answered moments ago rejected it, and tries again.
        settled = [candidate for candidate in inside if not candidate.is_open]
        if inside:
            return _smallest(settled) if settled else None
        return _nearest(candidates, x, y)
    return None


def _by_box(candidates: Iterable[_Candidate], box: Sequence[float]) -> _Candidate | None:
    """Return the region that a box is drawn tightly around."""
    around = [(box_iou(candidate.mask.box, tuple(box)), candidate) for candidate in candidates if candidate.mask.box]
    best = max(around, key=lambda pair: pair[0], default=None)
    return best[1] if best and best[0] >= TIGHT_IOU else None


def _smallest(candidates: Sequence[_Candidate]) -> _Candidate:
    return min(candidates, key=lambda candidate: candidate.mask.area)


def _nearest(candidates: Iterable[_Candidate], x: float, y: float) -> _Candidate | None:
    best, nearest = None, float("inf")
    for candidate in candidates:
        distance = candidate.mask.distance(x, y, reach(candidate.mask.area))
        if distance is not None and distance < nearest:
            best, nearest = candidate, distance
    return best


def reach(area: int) -> float:
    """Return how far in pixels from the edge of a mask of `area` pixels a positive click is about it."""
    return min(max(NEAR_SHARE * math.sqrt(area), NEAR_LEAST), NEAR_MOST)


def _new(page: Page) -> Subject:
    return Subject(new_id(), saved=page.saved)


def _page_region(entries: Sequence[Mapping[str, Any]]) -> PageRegion:
    labels = next((labels for labels in map(region_labels, entries) if labels), [])
    return PageRegion(region_id(entries[0]), tuple(entries), tuple(labels))
