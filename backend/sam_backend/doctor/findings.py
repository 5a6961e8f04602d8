"""What a check found, and the checks one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sam_backend.errors import SamInspectError
from sam_backend.safe_text import safe_line

_UNEXPECTED = "Ask past a proxy if there is one between, and start the command anew; if it stays, report it."


class Outcome(StrEnum):
    """How a check ended; SKIPPED says that an earlier failure makes it impossible."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes
    ----------
    check : str, what was checked, some words.
    outcome : Outcome.
    found : str, one sentence.
    cure : str, what to change and where, one sentence; "" if nothing is to be done.
    """

    check: str
    outcome: Outcome
    found: str
    cure: str = ""


class BrokenOffError(Exception):
    """A check cannot go on, and those after it in its chain make no sense."""

    def __init__(self, found: str, cure: str) -> None:
        super().__init__(found)
        self.found, self.cure = found, cure


@dataclass(frozen=True)
class Check:
    """A check.

    Attributes
    ----------
    name : str, some words.
    run : function that yields findings as (outcome, sentence, cure); it may raise BrokenOffError or SamInspectError.
    """

    name: str
    run: Callable[[], Iterator[tuple[Outcome, str, str]]]


def examine(chain: Sequence[Check]) -> Iterator[Finding]:
    """Yield the findings of checks that build on each other; after one that breaks off, the others are skipped."""
    broken = ""
    for check in chain:
        if broken:
            yield Finding(check.name, Outcome.SKIPPED, f"It needs what failed above: {broken}.")
            continue
        try:
            for outcome, found, cure in check.run():
                yield Finding(check.name, outcome, safe_line(found), safe_line(cure))
            continue
        except BrokenOffError as error:
            found, cure = error.found, error.cure
        except SamInspectError as error:
            found, cure = str(error), ""
        # A server may answer anything, and a library may fail in any way; what else is wrong is still to be found.
        except Exception as error:
            found, cure = f"It breaks off with an error that is not foreseen: {error!r}.", _UNEXPECTED
        yield Finding(check.name, Outcome.FAILED, safe_line(found), safe_line(cure))
        broken = check.name
