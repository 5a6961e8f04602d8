"""Text files of any editor and system: UTF-8, or UTF-16 and UTF-32 with a byte order mark."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from sam_backend.errors import SamInspectError
from sam_evaluation.errors import BrokenSampleError

_MARKS = (
    # The mark of UTF-32 begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path, error: type[SamInspectError] = BrokenSampleError) -> str:
    """Return the text of a file, without a byte order mark.

    Raises
    ------
    SamInspectError
        Of the type `error`, if the file is missing, or is not text in UTF-8, or in UTF-16 or UTF-32 with a mark.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as reason:
        raise error(f"{path} cannot be read: {getattr(reason, 'strerror', None) or reason}.") from None
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as reason:
        line = content.count(b"\n", 0, reason.start) + 1
        raise error(
            f"{path} cannot be read as {encoding.removesuffix('-sig').upper()}: byte 0x{content[reason.start]:02x} in "
            f"line {line}. {_guess(content)}; save it as UTF-8."
        ) from None
    if "\0" in text:
        raise error(f"{path} cannot be read as UTF-8: it holds null characters. {_guess(content)}; save it as UTF-8.")
    return text


def lines_of(text: str) -> list[str]:
    r"""Return the lines of a text, whichever system wrote it, without the spaces at their ends.

    Examples
    --------
    >>> lines_of("a b \r\nc\n")
    ['a b', 'c', '']
    """
    return [line.strip() for line in re.split(r"\r\n|\n|\r", text)]


def _guess(content: bytes) -> str:
    """Return a sentence without a full stop about the encoding that a text is probably in."""
    if content.count(0) > len(content) // 4:
        return "It looks like UTF-16 without a byte order mark"
    try:
        content.decode("cp1252")
    except UnicodeDecodeError:
        return "It is in another encoding, such as GBK or Shift-JIS, or is no text"
    return "It looks like Windows-1252 (Latin-1), or another encoding of one system"
