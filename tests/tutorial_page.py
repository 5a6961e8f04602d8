"""Reads docs/tutorial.md: the commands of its shell blocks, and what it says that they print."""

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
_BLOCK = re.compile(r"^```sh[^\n]*\n(.*?)^```(?:\n\n```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Block:
    """Commands, and what the page shows below them; None where it shows nothing."""

    commands: str
    shown: str | None

    @property
    def needs_label_studio(self) -> bool:
        return "sam-inspect demo" in self.commands or "--project" in self.commands


def blocks() -> list[Block]:
    return [Block(commands, shown or None) for commands, shown in _BLOCK.findall(PAGE.read_text(encoding="utf-8"))]


def welcome() -> str:
    """What the page says that the demo prints, which stands below other commands."""
    (text,) = re.findall(r"^```text\n(✓ Label Studio runs.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return text.strip()


def agrees(shown: str, printed: str) -> bool:
    """Whether a command printed what the page shows.

    `…` stands for anything in a line, and in a line of its own for any lines. A number may differ by a twentieth or by
    0.02, since processors round differently. Spaces and the lines of frames may be wider.
    """
    return _agree([*map(_plain, shown.strip().splitlines())], [*map(_plain, printed.strip().splitlines())])


def _plain(line: str) -> str:
    return re.sub(r"─+", "─", re.sub(r"\s+", " ", line.strip())).replace("─ ", "").replace(" ─", "")


def _agree(shown: list[str], printed: list[str]) -> bool:
    if not shown or not printed:
        return not printed and shown in ([], ["…"])
    if shown[0] == "…":
        return any(_agree(shown[1:], printed[start:]) for start in range(len(printed) + 1))
    return _agree_in_line(shown[0], printed[0]) and _agree(shown[1:], printed[1:])


def _agree_in_line(shown: str, printed: str) -> bool:
    pattern = re.escape(_NUMBER.sub("#", shown)).replace("…", ".*").replace(r"\#", r"(\d+(?:\.\d+)?)")
    found = re.fullmatch(pattern, printed)
    wanted = map(float, _NUMBER.findall(shown))
    return found is not None and all(
        abs(float(got) - want) <= max(0.02, want / 20) for got, want in zip(found.groups(), wanted, strict=True)
    )
