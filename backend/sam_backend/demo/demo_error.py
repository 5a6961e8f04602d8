"""The error of the demo."""

from sam_backend.errors import SamInspectError


class DemoError(SamInspectError):
    """The demo cannot start or continue; the message is one sentence for the user."""
