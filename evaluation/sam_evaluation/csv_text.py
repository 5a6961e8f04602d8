"""Tables as CSV that a spreadsheet opens without running anything: names of files and labels come from other people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from sam_backend.safe_text import original_cell, safe_cell


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV; a text that a spreadsheet would take for a formula gets an apostrophe in front.

    Examples
    --------
    >>> print(csv_text(pd.DataFrame({"sample": ["=1+1", "a.png"], "iou": [-0.5, 1.0]})), end="")
    sample,iou
    '=1+1,-0.5
    a.png,1.0
    """
    return table.rename(columns=_harmless).map(_harmless).to_csv(index=False)


def read_csv_text(path: Path) -> pd.DataFrame:
    """Return the table in a file of `csv_text`, with its texts as they were, such as "NA" or ""."""
    with path.open(encoding="utf-8", newline="") as file:
        return pd.read_csv(file, keep_default_na=False).map(_original)


def _harmless(cell: Any) -> Any:
    return safe_cell(cell) if isinstance(cell, str) else cell


def _original(cell: Any) -> Any:
    return original_cell(cell) if isinstance(cell, str) else cell
