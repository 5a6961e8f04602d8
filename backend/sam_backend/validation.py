"""Data from outside checked against types, with an error that names what was read."""

from __future__ import annotations

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from sam_backend.errors import BrokenSampleError, SamInspectError

T = TypeVar("T")


def checked(
    kind: type[T],
    data: object,
    what: str,
    error: type[SamInspectError] = BrokenSampleError,
    cure: str = "export it again",
) -> T:
    """Return data as a type.

    Parameters
    ----------
    kind : type, a pydantic model or a type made of such.
    data : object, parsed from a file or an answer.
    what : str, names the data; the error's sentence begins with it.
    error : type of the error to raise.
    cure : str, what to do, the end of the sentence.

    Raises
    ------
    SamInspectError
        Of the type `error`, with one of the problems.
    """
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as reason:
        # Of several types that a field may have, the one that fits furthest was meant.
        worst = max(reason.errors(include_url=False, include_input=False), key=lambda one: len(one["loc"]))
        place = ".".join(map(str, worst["loc"]))
        at = f" at '{place}'" if place else ""
        problem = worst["msg"].removeprefix("Value error, ")
        raise error(f"{what} is not as its format says{at}: {problem}; {cure}.") from None
