"""What the log of a process shows: which libraries stay out of it, and in what form lines are written."""

from __future__ import annotations

import logging

from sam_backend.safe_text import escape_unprintable, mask_secrets

_CHATTY = ("filelock", "httpcore", "httpx", "label_studio_sdk", "PIL", "urllib3")
"""Libraries whose lines repeat ours, or quote addresses that contain secrets."""


def quiet_libraries() -> None:
    """Keep the lines of chatty libraries out of the log of this process."""
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.CRITICAL)


class SafeFormatter(logging.Formatter):
    """Writes each record as one line that shows no secret, whatever a client sent; a traceback is indented below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        first, *traceback = mask_secrets(self._with_escaped_message(record)).split("\n")
        return "\n    ".join((first, *(escape_unprintable(line, keep="\t") for line in traceback)))

    def _with_escaped_message(self, record: logging.LogRecord) -> str:
        safe = logging.makeLogRecord(record.__dict__)
        safe.msg, safe.args = escape_unprintable(record.getMessage()), ()
        return super().format(safe)
