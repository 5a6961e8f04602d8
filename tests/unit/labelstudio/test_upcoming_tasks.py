"""Which tasks come next, by a project whose tasks are selected and ordered as Label Studio does it."""

from dataclasses import dataclass, field

from sam_backend.labelstudio.projects import UNCERTAINTY_SAMPLING, ListedTask
from sam_backend.labelstudio.upcoming_tasks import upcoming_tasks

TASKS = 1000
OPERATORS = {"equal": int.__eq__, "greater": int.__gt__, "less": int.__lt__}
BY_PLACE = {"ordering": ["tasks:data.place"]}


@dataclass
class StoredProject:
    """Tasks 1 to 1000; the place of task n is n * 5 modulo 1001, its score n * 3 modulo 1001."""

    sampling: str = "Sequential sampling"
    views: list = field(default_factory=list)
    done: tuple = ()

    def tabs(self):
        return self.views

    def list_tasks(self, view=None, *, page=100):
        view = view or {}
        order = (view.get("ordering") or ["tasks:id"])[0]
        filters = view.get("filters") or {"conjunction": "and", "items": []}
        join = all if filters["conjunction"] == "and" or not filters["items"] else any
        numbers = [
            number for number in range(1, TASKS + 1) if join(self._fits(number, one) for one in filters["items"])
        ]
        numbers.sort(key=lambda number: self._value(number, order.removeprefix("-")), reverse=order.startswith("-"))
        for number in numbers:
            yield ListedTask(number, {}, number in self.done)

    def _value(self, number, name):
        values = {"id": number, "data.place": number * 5 % 1001, "predictions_score": number * 3 % 1001}
        values |= {"total_annotations": int(number in self.done), "cancelled_annotations": 0}
        return values[name.removeprefix("tasks:")]

    def _fits(self, number, one):
        return OPERATORS[one["operator"]](self._value(number, one["filter"].removeprefix("filter:")), one["value"])


def at_place(place):
    return next(number for number in range(1, TASKS + 1) if number * 5 % 1001 == place)


def following(project, current=None, count=4):
    return [task.id for task in upcoming_tasks(project, current, count)]


def test_without_a_tab_the_first_tasks_that_nobody_touched_come_next():
    assert following(StoredProject()) == [1, 2, 3, 4]
    assert following(StoredProject(done=(1, 3)), current=2) == [4, 3, 5, 6]


def test_the_queue_and_the_rows_below_the_present_task_take_turns():
    assert following(StoredProject(), current=500, count=6) == [1, 501, 2, 502, 3, 503]


def test_a_queue_by_score_begins_with_the_lowest_score():
    # 334 * 3 = 1002 and 668 * 3 = 2004, so that their scores are 1 and 2.
    assert following(StoredProject(UNCERTAINTY_SAMPLING), current=500)[::3] == [334, 668]


def test_a_random_queue_is_not_guessed_but_the_rows_are_read():
    assert following(StoredProject("Uniform sampling", done=(501,)), current=500) == [501, 1, 502, 2]


def test_a_tab_tells_the_rows_below_and_what_is_displayed_first():
    project = StoredProject(views=[{"ordering": ["-tasks:id"]}], done=(1000, 999))
    assert following(project, current=20, count=6) == [1, 19, 998, 2, 18, 997]


def test_a_tab_in_another_order_is_searched_for_the_present_task():
    project = StoredProject(views=[BY_PLACE])
    assert following(project, current=at_place(200), count=3) == [1, at_place(201), at_place(1)]


def test_a_task_far_down_in_such_a_tab_leaves_the_other_orders():
    assert following(StoredProject(views=[BY_PLACE]), current=at_place(900), count=2) == [1, at_place(1)]


def test_filters_that_are_alternatives_stay_alternatives():
    low, high = (
        {"filter": "filter:tasks:id", "operator": name, "value": at} for name, at in (("less", 3), ("greater", 997))
    )
    tab = {"filters": {"conjunction": "or", "items": [low, high]}}
    project = StoredProject("Uniform sampling", views=[tab], done=(1,))
    assert following(project, current=998, count=6) == [999, 2, 1000]


def test_a_task_is_named_once_and_the_present_one_never():
    assert sorted(following(StoredProject(views=[{}, {}]), current=3, count=20)) == [1, 2, *range(4, 22)]
