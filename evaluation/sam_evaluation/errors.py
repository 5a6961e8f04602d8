"""Errors a user can act on: one sentence that says what was expected, what came, and what to do."""

from sam_backend.errors import BrokenSampleError, SamInspectError

__all__ = ["BrokenSampleError", "EvaluationError"]


class EvaluationError(SamInspectError):
    """An evaluation cannot be run, or a run cannot be read, with these arguments."""
