"""A piece of work that is done on many items, here or by workers elsewhere, with the same results."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_Item = TypeVar("_Item", contravariant=True)
_Result = TypeVar("_Result", covariant=True)


class Work(Protocol[_Item, _Result]):
    """What is done on each item, for example on an image, with a model that is loaded once.

    An item that cannot be used is no exception but a result, such as its `SamInspectError`. What is raised ends
    everything.
    """

    def __call__(self, item: _Item, /) -> _Result:
        """Return the result, plain data; it depends on the item alone."""

    def elsewhere(self) -> Callable[[int], Work[_Item, _Result]]:
        """Return how another process makes the same work, as something that can be pickled.

        It is called there once, with the number of threads to compute with, and raises `SamInspectError` if the model
        or anything else that the work needs is missing or differs.
        """

    def name_of(self, item: _Item, /) -> str:
        """Return the name that people know an item by; "" where it has none."""


class Workers(Protocol):
    """Those who work."""

    @property
    def are_elsewhere(self) -> bool:
        """Whether items and results travel to other processes."""

    def map(self, work: Work[Item, Result], items: Iterable[Item]) -> Generator[Result]:
        """Yield the result of each item, in the order of the items.

        Items are taken as late as possible, at most some for each worker before their results are asked for.

        Raises
        ------
        SamInspectError
            If the workers cannot do this work.
        """


class ThisProcess:
    """Works on one item after the other, when its result is asked for; see `Workers`."""

    are_elsewhere = False

    def map(self, work: Work[Item, Result], items: Iterable[Item]) -> Generator[Result]:
        """Yield the result of each item."""
        yield from map(work, items)


THIS_PROCESS = ThisProcess()
