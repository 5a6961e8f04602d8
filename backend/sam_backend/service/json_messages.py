"""JSON bodies as messages of Label Studio; large ones without building what is not read."""

from __future__ import annotations

import logging
import types
from collections.abc import Iterable
from typing import Any, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel

from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.brush_text import BrushText, cut_brushes, put_back
from sam_backend.labelstudio.messages import Dispensable, Message, parse_message

logger = logging.getLogger(__name__)

_SMALL = 2**18
"""Bytes up to which a body is parsed as a whole; its objects take a few tens of megabytes at most."""

_MAX_OBJECTS = 1_000_000
"""Objects in a larger body, read or not: a region has about three."""

_MAX_CONTAINERS = 500_000
"""Lists and objects in the fields that are read of a larger body: a polygon has one for each corner."""

_MAX_VALUES = 3_000_000
"""Numbers and texts in the fields that are read of a larger body, without the numbers of brush masks."""

_MAX_TEXTS = 1_000_000
"""Names and texts in the fields that are read of a larger body: a region has about thirty."""

_MAX_DEPTH = 64
"""Lists and objects inside each other; a region of Label Studio has about five."""

_CONTAINERS = frozenset((dict, list))

_structs: dict[type[BaseModel], Any] = {}
_dispensable: dict[Any, list[str]] = {}


def parse_body(body: bytes | bytearray, kind: type[Message], left_out: list[str]) -> Message:
    """Parse JSON into a message of the given class.

    Parameters
    ----------
    body : bytes, JSON.
    kind : the class.
    left_out : list of str, receives a sentence about each field that holds too much and is left out.

    Raises
    ------
    BadRequestError
        If it is not JSON, is nested too deeply, has too many values, or a field is missing or has the wrong type.
    """
    values = _decode(body) if len(body) <= _SMALL else _fields(body, kind, left_out)
    _check_depth(values)
    return parse_message(values, kind)


def _decode(body: bytes | bytearray, kind: Any = Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise BadRequestError(f"The body is not as expected: {error}.") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise BadRequestError(f"The body must be JSON; it is not: {error}.") from None
    except RecursionError:
        raise _too_deep() from None


def _fields(body: bytes | bytearray, kind: type[BaseModel], left_out: list[str]) -> Any:
    """Parse only the fields that a class has; the numbers of brush masks stay text."""
    body, brushes = cut_brushes(body)
    if body.count(b"{") > _MAX_OBJECTS:
        raise BadRequestError(f"The body has more than {_MAX_OBJECTS:,} objects; send fewer at a time.")
    return _Values(brushes, left_out).of(_decode(body, _struct(kind)))


class _Values:
    """Decodes the fields of one body, up to a number of values in all of them together."""

    def __init__(self, brushes: dict[int, BrushText], left_out: list[str]) -> None:
        self._brushes = brushes
        self._left_out = left_out
        self._containers, self._values, self._quotes = _MAX_CONTAINERS, _MAX_VALUES, 2 * _MAX_TEXTS

    def of(self, decoded: Any) -> Any:
        if isinstance(decoded, msgspec.Struct):
            fields = {name: getattr(decoded, name) for name in decoded.__struct_fields__}
            given = {name: value for name, value in fields.items() if value is not msgspec.UNSET}
            spare = _dispensable[type(decoded)]
            values = {name: self.of(value) for name, value in given.items() if name not in spare}
            return values | {name: self._optional(name, given[name]) for name in spare if name in given}
        if isinstance(decoded, list):
            return [self.of(item) for item in decoded]
        return self._leaf(bytes(decoded)) if isinstance(decoded, msgspec.Raw) else decoded

    def _optional(self, name: str, decoded: Any) -> Any:
        left = self._containers, self._values, self._quotes
        try:
            return self.of(decoded)
        except BadRequestError as error:
            self._containers, self._values, self._quotes = left
            sentence = f"The {name} of a task are left out, and masks in them are not corrected in place: {error}"
            logger.warning(sentence)
            self._left_out.append(sentence)
            return None

    def _leaf(self, raw: bytes) -> Any:
        # Those in texts count as well; texts with so many are none of Label Studio's.
        self._containers -= raw.count(b"[") + raw.count(b"{")
        self._values -= raw.count(b",")
        self._quotes -= raw.count(b'"')
        if min(self._containers, self._values, self._quotes) < 0:
            raise BadRequestError(
                f"The body has more than {_MAX_VALUES:,} values, {_MAX_TEXTS:,} texts, or {_MAX_CONTAINERS:,} lists "
                "and objects; send fewer regions at a time."
            )
        values = _decode(raw)
        put_back(values, self._brushes)
        return values


def _struct(kind: type[BaseModel]) -> Any:
    """Return a msgspec class with the fields of a pydantic class; what is inside a field is left undecoded."""
    if kind not in _structs:
        fields = [(name, _shape(info.annotation), msgspec.UNSET) for name, info in kind.model_fields.items()]
        _structs[kind] = msgspec.defstruct(kind.__name__, fields)
        _dispensable[_structs[kind]] = [
            name
            for name, info in kind.model_fields.items()
            if any(isinstance(mark, Dispensable) for mark in info.metadata)
        ]
    return _structs[kind]


def _shape(annotation: Any) -> Any:
    parts = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    shapes: list[Any] = []
    for part in parts:
        if isinstance(part, type) and issubclass(part, BaseModel):
            shapes.append(_struct(part))
        elif get_origin(part) is list and isinstance(item := get_args(part)[0], type) and issubclass(item, BaseModel):
            shapes.append(list[_struct(item)])  # type: ignore[misc]
        elif part is not type(None):
            return msgspec.Raw
    return Union[(*shapes, None, msgspec.UnsetType)]


def _check_depth(values: Any) -> None:
    level = [values] if type(values) in _CONTAINERS else []
    for _ in range(_MAX_DEPTH):
        level = [child for parent in level for child in _children(parent) if type(child) in _CONTAINERS]
        if not level:
            return
    raise _too_deep()


def _children(parent: Any) -> Iterable[Any]:
    children = list(parent.values()) if isinstance(parent, dict) else parent
    # A mask is a list of a million numbers.
    return () if _CONTAINERS.isdisjoint(map(type, children)) else children


def _too_deep() -> BadRequestError:
    return BadRequestError(
        f"The body has more than {_MAX_DEPTH} lists and objects inside each other; send fewer levels."
    )
