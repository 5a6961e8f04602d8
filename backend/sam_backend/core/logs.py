"""Which libraries stay out of the log."""

from __future__ import annotations

import logging

_CHATTY = ("filelock", "httpcore", "httpx", "label_studio_sdk", "PIL", "urllib3")
"""Libraries whose lines repeat ours, or quote addresses that contain secrets."""


def quiet_libraries() -> None:
    """Keep the lines of chatty libraries out of the log of this process."""
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
