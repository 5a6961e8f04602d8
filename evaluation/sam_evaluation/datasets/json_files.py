"""JSON files of annotations, read with errors that name them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sam_backend.errors import SamInspectError
from sam_evaluation.errors import BrokenSampleError, EvaluationError


def annotation_file(folder: Path, patterns: Sequence[str], layout: str) -> Path:
    """Return the only file of the first glob pattern that has any; `folder` itself where it is a file.

    Raises
    ------
    EvaluationError
        If there is none, or more than one.
    """
    if folder.is_file():
        return folder
    for pattern in patterns:
        found = sorted(folder.glob(pattern))
        if len(found) > 1:
            names = ", ".join(path.name for path in found[:6])
            raise EvaluationError(
                f"{folder} holds several annotation files ({names}); give the one to use by its path."
            )
        if found:
            return found[0]
    raise EvaluationError(f"{folder} holds no annotation file ({' or '.join(patterns)}). Expected: {layout}")


def read_json(path: Path, error: type[SamInspectError] = BrokenSampleError) -> Any:
    """Return what a JSON file holds.

    Raises
    ------
    SamInspectError
        Of the type `error`, if it is missing or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as reason:
        raise error(f"{path} cannot be read: {reason.strerror}.") from None
    # Not of UTF-8 is a ValueError too; nesting without end a RecursionError.
    except (ValueError, RecursionError) as reason:
        raise error(f"{path} is not valid JSON ({reason}); export it again.") from None
