"""Errors that a user can act on: one sentence that says what was expected, what came, and what to do."""

from sam_backend.safe_text import escape_unprintable

_MAX_REASON_PHRASE = 500


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


class BrokenSampleError(SamInspectError):
    """One image or its annotation cannot be used; the rest of the data set can."""


def reason_phrase(sentence: str) -> str:
    """Return a sentence as the reason phrase of an HTTP status line, the only part of an error that Label Studio shows.

    It is one line of at most 500 characters of Latin-1; other characters become question marks.
    """
    line = escape_unprintable(" ".join(sentence.split()))
    return line[:_MAX_REASON_PHRASE].rstrip().encode("latin-1", "replace").decode("latin-1")
