"""The logs of a training: running means of its steps, and its results on held-out scenes. Needs no PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

STEPS = "log.jsonl"
CHECKS = "validation.jsonl"


def append(path: Path, line: dict[str, Any]) -> None:
    """Add a line with a `step` as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines in the order of their steps.

    After an interruption a training continues from its checkpoint. Lines that it logged after the checkpoint are left
    out, and so is an incomplete line.
    """
    lines: list[dict[str, Any]] = []
    if not path.exists():
        return lines
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        while lines and lines[-1]["step"] >= line["step"]:
            lines.pop()
        lines.append(line)
    return lines
