"""A JSON object with a list that is too long for memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


class JsonList:
    """Writes `{"<key>": [entry, entry, …], …}`, the list entry by entry.

    Parameters
    ----------
    file : Path, a new file; its folder is made where it is missing.
    key : str, what the list is called.
    """

    def __init__(self, file: Path, key: str) -> None:
        self._file, self._between = file, ""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{{{json.dumps(key)}: [\n", "utf-8")

    def extend(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Write entries."""
        lines = [json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in entries]
        if lines:
            self._write(self._between + ",\n".join(lines))
            self._between = ",\n"

    def close(self, others: Mapping[str, Any]) -> None:
        """Write the other members of the object."""
        rest = json.dumps(others, ensure_ascii=False)[1:-1]
        self._write(f"\n]{', ' if rest else ''}{rest}}}\n")

    def _write(self, text: str) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(text)
