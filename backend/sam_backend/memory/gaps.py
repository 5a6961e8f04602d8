"""What a project's memory lacks: events that could not be kept, and items of events that could not be read."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from sam_backend.files import make_folder, write_whole

_MAX_LINES, _MAX_LINE = 100, 500


class Gaps:
    """The gaps of one project, on disk.

    Parameters
    ----------
    folder : Path of the project's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._marker = folder / "incomplete"
        self._file = folder / "set-aside.json"

    @property
    def is_incomplete(self) -> bool:
        """Whether events could not be kept, so that Label Studio must be asked for its annotations."""
        return self._marker.exists()

    def mark_incomplete(self) -> None:
        """Keep that events could not be kept; nothing happens where that cannot be kept either."""
        with suppress(OSError):
            make_folder(self._marker.parent)
            self._marker.touch(mode=0o600)

    def mark_complete(self) -> None:
        """Keep that nothing is missing any more; OSError if that cannot be kept."""
        self._marker.unlink(missing_ok=True)

    def set_aside(self, reasons: list[str]) -> None:
        """Keep why items of events could not be read, the latest 100 reasons; OSError if that cannot be kept."""
        lines = dict.fromkeys([*self.reasons(), *(reason[:_MAX_LINE] for reason in reasons)])
        write_whole(self._file, json.dumps(list(lines)[-_MAX_LINES:]).encode())

    def reasons(self) -> list[str]:
        """Return why items of events could not be read, each reason once."""
        try:
            lines = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        return [str(line) for line in lines] if isinstance(lines, list) else []

    def forget(self) -> None:
        """Forget all gaps; OSError if a file cannot be removed."""
        for path in (self._marker, self._file):
            path.unlink(missing_ok=True)
