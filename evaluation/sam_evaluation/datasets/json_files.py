"""JSON files of annotations, read with errors that name the file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sam_backend.errors import SamInspectError
from sam_evaluation.errors import BrokenSampleError, EvaluationError


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
        Of the type `error`, if the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as reason:
        raise error(f"{path} cannot be read: {reason.strerror}.") from None
    # Text that is not UTF-8 raises a ValueError too, and very deep nesting a RecursionError.
    except (ValueError, RecursionError) as reason:
        raise error(f"{path} is not valid JSON ({reason}); export it again.") from None
