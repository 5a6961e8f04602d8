"""What the log of a process shows: which libraries stay out of it, and in what form lines are written."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from sam_backend.core.observer import current_notes
from sam_backend.safe_text import escape_unprintable, mask_secrets, safe_line

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


class JsonFormatter(logging.Formatter):
    """Writes each record as one JSON object on one line of ASCII; texts in it are as safe as those of `SafeFormatter`.

    The object has `time` (UTC, ISO 8601), `level`, `logger`, `message`, with an error `exception`, within a request its
    `request_id`, `project` and `task`, and what the record brings as `extra={"fields": …}`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record; it never fails."""
        notes = current_notes()
        own = {"request_id": notes.id, "project": notes.project, "task": notes.task} if notes else {}
        values = {
            "time": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            **own,
            **getattr(record, "fields", {}),
        }
        safe = {name: _safe(value) for name, value in values.items() if value not in ("", None, {})}
        if record.exc_info and record.exc_info[0]:
            # JSON escapes the ends of its lines.
            lines = mask_secrets(self.formatException(record.exc_info)).split("\n")
            safe["exception"] = "\n".join(escape_unprintable(line, keep="\t") for line in lines)
        return json.dumps(safe)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        return f"{record.msg} (its arguments do not fit: {record.args!r})"


def _safe(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _safe(inner) for name, inner in value.items()}
    return value if isinstance(value, bool | int | float) else safe_line(str(value))
