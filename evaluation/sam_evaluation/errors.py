"""Errors a user can act on: one sentence that says what was expected, what came, and what to do."""

from sam_backend.errors import SamInspectError


class EvaluationError(SamInspectError):
    """An evaluation cannot be run or read as it was asked for."""


class BrokenSampleError(SamInspectError):
    """One image or its annotation cannot be used; the rest of the data set can."""
