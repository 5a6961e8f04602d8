"""What a training wrote down: running means of its steps, and what it reached on held-out scenes. Needs no PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

STEPS = "log.jsonl"
CHECKS = "validation.jsonl"


def append(path: Path, line: dict[str, Any]) -> None:
    """Add a line of JSON; it has a `step`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines in the order of their steps.

    After an interruption a training goes on from its checkpoint: what it had logged beyond that is left out, and so is
    a line that was cut off.
    """
    found: list[dict[str, Any]] = []
    if not path.exists():
        return found
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        while found and found[-1]["step"] >= line["step"]:
            found.pop()
        found.append(line)
    return found
