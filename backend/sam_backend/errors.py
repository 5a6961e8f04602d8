"""Errors a user can act on: one sentence that says what was expected, what came, and what to do."""

_MAX_REASON_PHRASE = 500


class SamInspectError(Exception):
    """A user's or an outside system's mistake, told in one clear sentence.

    The service answers with `status` and the sentence; the command line prints the sentence and exits 1.
    Anything that is not a `SamInspectError` is a bug of ours.
    """

    status = 500


class BadRequestError(SamInspectError):
    """What the caller sent cannot be served as it is (HTTP 400)."""

    status = 400


class ImageServerError(SamInspectError):
    """The server that holds an image refused, broke off or did not answer (HTTP 502)."""

    status = 502


class UnknownModelError(BadRequestError):
    """No segmenter has this name."""


class MissingExtraError(SamInspectError):
    """A model needs packages that are not installed (HTTP 503)."""

    status = 503


class WeightsError(SamInspectError):
    """A checkpoint is missing, corrupt or cannot be downloaded."""

    status = 503


class BrokenSampleError(SamInspectError):
    """One image or its annotation cannot be used; the rest of the data set can."""


def reason_phrase(sentence: str) -> str:
    """Return a sentence as the reason phrase of an HTTP status line, the only part of an error that Label Studio shows.

    It is one line of at most 500 characters of Latin-1; other characters become question marks.
    """
    return " ".join(sentence.split())[:_MAX_REASON_PHRASE].encode("latin-1", "replace").decode("latin-1")
