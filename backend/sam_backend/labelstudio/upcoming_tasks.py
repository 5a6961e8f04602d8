"""Which tasks annotators open next: in the order of the labeling queue, and of the tabs of the Data Manager.

Label Studio itself is not asked for the next task: its answer locks the task for the user of the token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, zip_longest
from typing import Any

from sam_backend.labelstudio.projects import UNCERTAINTY_SAMPLING, ListedTask, Project

_RANDOM_SAMPLING = "Uniform sampling"
_MOST_TABS = 3
_MOST_ROWS = 300
"""Rows of a tab that are searched where Label Studio cannot select them."""

_PAGE = 20

View = Mapping[str, Any]
"""Order and filters, as a tab of the Data Manager has them."""

_AFTER = {"tasks:id": "greater", "-tasks:id": "less"}
"""The orders in which the tasks after another one can be selected by their ids."""


def upcoming_tasks(project: Project, current: int | None, count: int) -> list[ListedTask]:
    """Return the tasks that are probably opened next, the most probable first.

    Parameters
    ----------
    project : Project.
    current : int, the task that is open; None if none is known.
    count : int, tasks to return at most.

    Raises
    ------
    ImageServerError
        If Label Studio refuses or does not answer.
    """
    orders = [_queue(project)]
    # Without a saved tab, there is one that shows all tasks by their ids.
    for tab in project.tabs()[:_MOST_TABS] or [{}]:
        orders += [_below(project, tab, current), _untouched(project, tab)]
    several = (islice((task for task in order if task.id != current), count) for order in orders)
    in_turn = (task for tasks in zip_longest(*several) for task in tasks if task is not None)
    return list({task.id: task for task in in_turn}.values())[:count]


def _queue(project: Project) -> Iterator[ListedTask]:
    """Yield what `Label All Tasks` opens; nothing where that is random."""
    if project.sampling == _RANDOM_SAMPLING:
        return iter(())
    by_score = project.sampling == UNCERTAINTY_SAMPLING
    return _untouched(project, {"ordering": ["tasks:predictions_score"]} if by_score else {})


def _untouched(project: Project, tab: View) -> Iterator[ListedTask]:
    """Yield the tasks of a tab that nobody annotated or skipped: what `Label Tasks As Displayed` opens."""
    conditions = [_is(field, "equal", 0) for field in ("total_annotations", "cancelled_annotations")]
    selected = _selected(tab, conditions)
    if selected is not None:
        return project.list_tasks(selected, page=_PAGE)
    return (task for task in islice(project.list_tasks(tab), _MOST_ROWS) if not task.is_done)


def _below(project: Project, tab: View, current: int | None) -> Iterator[ListedTask]:
    """Yield the rows of a tab below the present task; all rows if there is none."""
    if current is None:
        return project.list_tasks(tab, page=_PAGE)
    order = (tab.get("ordering") or ["tasks:id"])[0]
    selected = _selected(tab, [_is("id", _AFTER[order], current)]) if order in _AFTER else None
    if selected is not None:
        return project.list_tasks(selected, page=_PAGE)
    rows = islice(project.list_tasks(tab), _MOST_ROWS)
    # The search for the present task uses up the rows above it.
    return rows if any(task.id == current for task in rows) else iter(())


def _is(field: str, operator: str, value: int) -> Mapping[str, Any]:
    return {"filter": f"filter:tasks:{field}", "operator": operator, "type": "Number", "value": value}


def _selected(tab: View, conditions: list[Mapping[str, Any]]) -> View | None:
    """Return the view of a tab with further conditions; None where its own filters are alternatives."""
    filters = tab.get("filters") or {}
    own = filters.get("items") or []
    if len(own) > 1 and filters.get("conjunction") != "and":
        return None
    return {**tab, "filters": {"conjunction": "and", "items": [*own, *conditions]}}
