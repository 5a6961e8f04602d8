"""JSON files of annotations, read with errors that name the file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sam_backend.errors import SamInspectError
from sam_evaluation.datasets.text_files import read_text
from sam_evaluation.errors import BrokenSampleError, EvaluationError

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def annotation_file(folder: Path, patterns: Sequence[str], layout: str) -> Path:
    """Return the annotation file of a data set.

    Parameters
    ----------
    folder : Path, the folder of the data set, or the annotation file itself.
    patterns : glob patterns; the first that matches any file counts, and it must match only one.
    layout : str, the layout that was expected, for the error.

    Raises
    ------
    EvaluationError
        If there is none, or more than one.
    """
    if folder.is_file():
        return folder
    for pattern in patterns:
        files = sorted(folder.glob(pattern))
        if len(files) > 1:
            names = ", ".join(path.name for path in files[:6])
            raise EvaluationError(
                f"{folder} holds several annotation files ({names}); give the one to use by its path."
            )
        if files:
            return files[0]
    raise EvaluationError(f"{folder} holds no annotation file ({' or '.join(patterns)}). Expected: {layout}")


def read_json(path: Path, error: type[SamInspectError] = BrokenSampleError) -> Any:
    """Return the content of a JSON file.

    Raises
    ------
    SamInspectError
        Of the type `error`, if the file is missing, is not JSON, or names a field of an object twice.
    """
    text = read_text(path, error)
    if not text.strip():
        raise error(f"{path} is empty; export it again.")
    try:
        content = json.loads(text, object_pairs_hook=_without_repetition)
    except _RepeatedFieldError as reason:
        raise error(f"{path} names '{reason}' twice in one object, so one of the two would be lost.") from None
    # Very deep nesting raises a RecursionError.
    except (ValueError, RecursionError) as reason:
        if _is_json(text.strip().partition("\n")[0]):
            raise error(
                f"{path} is JSON Lines, one value a line; one JSON value for the whole file is needed."
            ) from None
        raise error(f"{path} is not valid JSON ({reason}); export it again.") from None
    if _SURROGATE.search(text) and (half := _half_character(content)):
        raise error(f"{path} has half of a character ({half}) in a text, which no file can hold; export it again.")
    return content


def kind_of(value: object) -> str:
    """Return what a JSON value is, in words: "a list", "a text"."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def id_key(value: object) -> int | str | None:
    """Return an id as a key that is the same for 1, "1" and 1.0; None for what is no id.

    Examples
    --------
    >>> id_key("12"), id_key(12.0), id_key("a"), id_key(None)
    (12, 12, 'a', None)
    """
    if type(value) is int:
        return value
    if isinstance(value, str):
        text = value.strip()
        # "01" is not 1: such ids are texts of a fixed length.
        is_number = text.isascii() and text.isdecimal() and len(text) < 20 and (text == "0" or text[0] != "0")
        return int(text) if is_number else text or None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None


class _RepeatedFieldError(Exception):
    pass


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedFieldError(next(name for name in names if names.count(name) > 1))
    return fields


def _half_character(content: Any) -> str:
    """Return the first half of a surrogate pair that stands alone in a text, as JSON escapes it; "" for none."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as reason:
        return f"\\u{ord(reason.object[reason.start]):04x}"
    return ""


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False
