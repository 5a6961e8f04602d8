"""What can go wrong in the demo, in one sentence each."""

from sam_backend.errors import SamInspectError


class DemoError(SamInspectError):
    """The demo cannot start or go on."""
