"""The numbers of brush masks as the JSON of a request wrote them, parsed only where a mask is needed.

A task may hold hundreds of masks of a hundred thousand numbers each, and a click needs few of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from sam_backend.errors import BadRequestError

_NAME = b'"rle"'
_OPENING = re.compile(rb'"rle"[ \t\r\n]*:[ \t\r\n]*\[')
_NESTED = (b"[", b"{", b'"')


@dataclass(frozen=True)
class BrushText:
    """The numbers of one brush mask, in the place of a list of int.

    Attributes
    ----------
    text : bytes, what stands between the brackets of the list; not checked.
    """

    text: bytes

    @cached_property
    def digest(self) -> bytes:
        """16 bytes that tell this text from every other one."""
        return hashlib.blake2b(self.text, digest_size=16).digest()

    def numbers(self) -> list[int]:
        """Return the numbers.

        Raises
        ------
        BadRequestError
            If the text is no list of whole numbers.
        """
        try:
            return msgspec.json.decode(b"[%b]" % self.text, type=list[int])
        except msgspec.DecodeError as error:
            raise BadRequestError(
                f"A brush mask is a list of bytes from 0 to 255; got something else ({error})."
            ) from None


def cut_brushes(body: bytes | bytearray) -> tuple[bytes | bytearray, dict[int, BrushText]]:
    """Take the numbers of brush masks out of JSON.

    Returns
    -------
    body : the JSON with `[n]` in the place of the numbers of mask n.
    texts : dict from n to the numbers, for `put_back`. A list that holds texts, lists or objects stays where it is.
    """
    source, pieces, texts = memoryview(body), list[bytes | memoryview](), dict[int, BrushText]()
    kept_from = place = 0
    while (place := body.find(_NAME, place)) >= 0:
        opening = _OPENING.match(body, place)
        place += len(_NAME)
        if opening is None:
            continue
        start, end = opening.end(), body.find(b"]", opening.end())
        if end < 0:
            break
        if all(body.find(mark, start, end) < 0 for mark in _NESTED):
            pieces += [source[kept_from:start], b"%d" % len(texts)]
            texts[len(texts)] = BrushText(bytes(source[start:end]))
            kept_from = place = end
    return b"".join([*pieces, source[kept_from:]]) if texts else body, texts


def put_back(values: Any, texts: dict[int, BrushText]) -> None:
    """Put what was cut out of JSON into its values, each text into one place, and remove it from `texts`."""
    inside = [values]
    while inside and texts:
        value = inside.pop()
        if isinstance(value, dict):
            match value.get("rle"):
                case [int(number)] if number in texts:
                    value["rle"] = texts.pop(number)
            inside += value.values()
        elif isinstance(value, list):
            inside += [child for child in value if isinstance(child, dict | list)]


def with_numbers(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of a `result` with its numbers parsed; errors as of `BrushText.numbers`."""
    value = entry.get("value")
    if isinstance(value, Mapping) and isinstance(text := value.get("rle"), BrushText):
        return {**entry, "value": {**value, "rle": text.numbers()}}
    return dict(entry)
