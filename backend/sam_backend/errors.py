"""Errors that a user can act on: one sentence that says what was expected, what came, and what to do."""

import reprlib

from sam_backend.safe_text import escape_unprintable

_MAX_REASON_PHRASE = 500
_MAX_SHOWN = 80


class SamInspectError(Exception):
    """A mistake of a user or of another system, described in one clear sentence.

    The service answers with `status`, an HTTP status code, and the sentence. The command line prints the sentence and
    exits with 1. Any other exception is a bug in SAM Inspect.
    """

    status = 500


class BadRequestError(SamInspectError):
    """The request cannot be answered as it is (HTTP 400)."""

    status = 400


class ImageServerError(SamInspectError):
    """The server of an image refused, broke off or did not answer (HTTP 502)."""

    status = 502


class UnknownModelError(BadRequestError):
    """There is no model with this name (HTTP 400)."""


class MissingExtraError(SamInspectError):
    """Packages of an extra are needed and not installed (HTTP 503)."""

    status = 503


class WeightsError(SamInspectError):
    """A checkpoint is missing, corrupt or cannot be downloaded (HTTP 503)."""

    status = 503


class StepError(SamInspectError):
    """A step of a pipeline failed, or gave what its annotations do not say (HTTP 500); the image is not to blame."""


class StoreError(Exception):
    """A store, such as S3, refused or did not answer, described in one clear sentence; the command line exits with 1.

    It is no `SamInspectError`: a run must not take every image for a broken one where it is the store that fails.
    """


class BrokenSampleError(SamInspectError):
    """One image or its annotation cannot be used; the rest of the data set can."""


def for_annotators(error: SamInspectError) -> str:
    """Return an error's sentence; where the server of an image fails, it names the command that finds out why."""
    return f"{error} sam-inspect doctor finds out why." if isinstance(error, ImageServerError) else str(error)


def reason_phrase(sentence: str) -> str:
    """Return a sentence as the reason phrase of an HTTP status line, the only part of an error that Label Studio shows.

    It is one line of at most 500 characters of Latin-1; other characters become question marks.
    """
    line = escape_unprintable(" ".join(sentence.split()))
    return line[:_MAX_REASON_PHRASE].rstrip().encode("latin-1", "replace").decode("latin-1")


def brief(value: object, *, quoted: bool = True) -> str:
    """Return a value from outside for a sentence, shortened; without quotation marks if not `quoted`.

    It never fails, also for numbers that Python refuses to print.
    """
    if isinstance(value, str) and not quoted:
        return value if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]}…"
    return _BRIEF.repr(value)[: 2 * _MAX_SHOWN]


class _Brief(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxlong = self.maxother = _MAX_SHOWN

    def repr_int(self, number: int, level: int) -> str:
        if number.bit_length() > 10_000:
            return "a number of thousands of digits"
        return super().repr_int(number, level)


_BRIEF = _Brief()
