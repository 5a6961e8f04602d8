"""Text for log lines and messages: on one line, without control characters, and without the secrets of addresses."""

from __future__ import annotations

import re

_FIELDS_TO_MASK = (
    r"x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential)|awsaccesskeyid|signature|sig|"
    r"(?:access[-_]?|refresh[-_]?|id[-_]?|auth[-_]?|api[-_]?)?(?:token|key)|(?:client[-_]?)?secret|password|passwd|pwd|"
    r"credentials?|policy|jwt"
)
_QUERY_SECRET = re.compile(rf"((?:[?&;]|%26|%3f)(?:{_FIELDS_TO_MASK})(?:=|%3d))[^&;\s'\"<>)]+", re.IGNORECASE)
_USER_IN_ADDRESS = re.compile(
    # A password that nobody escaped may hold a slash; what stands behind the colon is no port then.
    r"(\b(?:[a-z][a-z0-9+.-]*://|https?:/?))(?:[^/?#\s@'\"]+|[^/?#\s@'\":]+:(?!\d*[/?#])[^\s@'\"]{1,256})@",
    re.IGNORECASE,
)
_HEADER_SECRET = re.compile(r"\b((?:Token|Bearer|Basic)\s+)(?=\S*\d)[\w.~+/=-]{16,}")
_JWT = re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?")
_MASK = "***"


def mask_secrets(text: str) -> str:
    """Replace the signatures, tokens and passwords of addresses and of authorization headers in a text by `***`."""
    text = _QUERY_SECRET.sub(rf"\1{_MASK}", text)
    text = _USER_IN_ADDRESS.sub(rf"\1{_MASK}@", text)
    return _JWT.sub(_MASK, _HEADER_SECRET.sub(rf"\1{_MASK}", text))


def escape_unprintable(text: str, *, keep: str = "") -> str:
    r"""Escape what cannot be printed, line ends included, as Python does in a string; `keep` stays as it is.

    >>> escape_unprintable("a path\nof two lines")
    'a path\\nof two lines'
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in keep else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def safe_line(text: str) -> str:
    """Return a text as one line that shows no secret and forges no other line."""
    return escape_unprintable(mask_secrets(text))


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_QUOTE = "'"


def safe_cell(text: str) -> str:
    """Return a text for a cell of a table; one that a spreadsheet takes for a formula gets an apostrophe in front.

    >>> safe_cell("=1+1")
    "'=1+1"
    """
    return _QUOTE + text if text.startswith(_FORMULA) else text


def original_cell(cell: str) -> str:
    """Return the text of a cell that `safe_cell` made.

    >>> original_cell("'=1+1")
    '=1+1'
    """
    return cell[1:] if cell.startswith(_QUOTE) and cell[1:].startswith(_FORMULA) else cell
