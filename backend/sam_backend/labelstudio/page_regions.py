"""The masks that an annotator probably sees: what a request says about the task's drafts, annotations and predictions.

A request does not say which annotation is open, nor who clicks. The rule (decision 022): the newest saved state of the
task counts, a draft or an annotation, and without any the newest prediction. Where several people saved something, a
region counts only if all of them have it alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sam_backend.labelstudio.accepted_masks import MaskRule
from sam_backend.labelstudio.brush_text import BrushText
from sam_backend.labelstudio.config import Target
from sam_backend.labelstudio.messages import Task
from sam_backend.labelstudio.region_masks import entries_by_region, region_id, region_labels, region_shape

Entry = Mapping[str, Any]

_MOST_STATES = 1_000
"""Most drafts, annotations and predictions of a task that are read, the newest ones."""

_CONTAINER, _NUMBER = 100, 32
"""Bytes of an empty list or object, and of a number or an empty text, about."""


@dataclass(frozen=True, eq=False)
class PageRegion:
    """A mask on one image of a task, not decoded yet.

    Attributes
    ----------
    id : str, never "".
    entries : the entries of `result` that have this id: the shape, its label, choices and texts about the region.
    labels : tuple of str, empty where it has none.
    """

    id: str
    entries: tuple[Entry, ...]
    labels: tuple[str, ...] = ()

    @property
    def shape(self) -> Entry:
        """The entry with the mask."""
        return next(entry for entry in self.entries if region_shape(entry))

    @property
    def nbytes(self) -> int:
        """Bytes of its entries in memory, about."""
        return sum(map(_nbytes, self.entries))


@dataclass(frozen=True, eq=False)
class Page:
    """What a request says about one image of the task.

    Attributes
    ----------
    regions : the masks that can be corrected in place, by id.
    saved : str, changes when something of the task is saved.
    ids : the ids of everything in the newest saved state, also of key points.
    kept : the ids of regions that must not be corrected in place, since they have a relation.
    """

    regions: Mapping[str, PageRegion]
    saved: str
    ids: frozenset[str]
    kept: frozenset[str]


def read_page(task: Task, target: Target, item_index: int | None) -> Page:
    """Read the masks on one image of a task; what cannot be read is left out.

    Parameters
    ----------
    task : of an interactive request.
    target : Target, the image's tag with the controls that take masks.
    item_index : int, which image of a list; None if the tag has no list.
    """
    states = _saved_states(task)
    newest = states[0] if states else None
    per_person: dict[str, list[Entry]] = {}
    for state in states:
        per_person.setdefault(_person(state), _result(state))
    predictions = _dicts(task.predictions)
    shown = list(per_person.values()) or [_result(max(predictions, key=_number))] if predictions or per_person else []
    regions: dict[str, PageRegion] = {}
    for number, result in enumerate(shown):
        own = {region.id: region for region in _regions(result, target, item_index or 0)}
        regions = own if not number else _alike(regions, own)
    related = frozenset(
        str(entry[end]) for result in shown for entry in result for end in ("from_id", "to_id") if end in entry
    )
    saved = "" if newest is None else f"{newest.get('id')} {newest.get('updated_at')}"
    ids = frozenset(map(region_id, _result(newest))) if newest else frozenset()
    # Label Studio 1.23 cannot show a suggestion beside a region of the same id that has a relation.
    return Page({id_: region for id_, region in regions.items() if id_ not in related}, saved, ids, related)


def _saved_states(task: Task) -> list[Mapping[str, Any]]:
    """Return drafts and annotations, the newest first; an annotation with a draft counts by its draft."""
    drafts = _dicts(task.drafts)
    # As texts, since a damaged one may hold anything.
    drafted = {str(draft["annotation"]) for draft in drafts if draft.get("annotation") is not None}
    annotations = [
        annotation
        for annotation in _dicts(task.annotations)
        if not annotation.get("was_cancelled") and str(annotation.get("id")) not in drafted
    ]
    return sorted(drafts + annotations, key=lambda state: str(state.get("updated_at")), reverse=True)[:_MOST_STATES]


def _alike(regions: Mapping[str, PageRegion], own: Mapping[str, PageRegion]) -> dict[str, PageRegion]:
    return {id_: region for id_, region in regions.items() if id_ in own and own[id_].entries == region.entries}


def _regions(result: Sequence[Entry], target: Target, item_index: int) -> Iterable[PageRegion]:
    rule = MaskRule({target.image.name: target})
    there = [entry for entry in result if _is_on(entry, target, item_index)]
    for entries in entries_by_region(there):
        id_ = region_id(entries[0])
        labels = tuple(next((labels for labels in map(region_labels, entries) if labels), ()))
        if id_ and rule.problem(entries, target.image.name) == "" and all(map(target.knows, labels)):
            yield PageRegion(id_, tuple(entries), labels)


def _is_on(entry: Entry, target: Target, item_index: int) -> bool:
    to_name, index = entry.get("to_name"), entry.get("item_index")
    return to_name in (None, target.image.name) and (index or 0) == item_index


def _person(state: Mapping[str, Any]) -> str:
    """Return the number of the user who saved a state, as a text; "" where it is not said."""
    author = state.get("completed_by")
    if isinstance(author, Mapping):
        author = author.get("id")
    if author is None:
        # Of a draft: "name email, number".
        author = str(state.get("created_username") or "").rpartition(", ")[2]
    return str(author)


def _number(state: Mapping[str, Any]) -> int:
    number = state.get("id")
    return number if isinstance(number, int) else -1


def _result(state: Mapping[str, Any]) -> list[Entry]:
    return _dicts(state.get("result"))


def _dicts(values: object) -> list[Mapping[str, Any]]:
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []


def _nbytes(value: object) -> int:
    if isinstance(value, Mapping):
        return _CONTAINER + sum(map(_nbytes, value.values()))
    if isinstance(value, list):
        # The small numbers of a brush exist once in Python.
        inside = [item for item in value if not isinstance(item, int)]
        return _CONTAINER + 8 * len(value) + sum(map(_nbytes, inside))
    text = value.text if isinstance(value, BrushText) else value
    return _NUMBER + (len(text) if isinstance(text, str | bytes) else 0)
