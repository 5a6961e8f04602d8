"""How `serve` writes its log."""

from __future__ import annotations

from enum import StrEnum


class LogFormat(StrEnum):
    """Lines for people, or one JSON object a line."""

    TEXT = "text"
    JSON = "json"
