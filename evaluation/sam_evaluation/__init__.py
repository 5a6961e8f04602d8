"""Measures how far SAM falls short on industrial images: `evaluate`, `gap_table`, `compare` and what they work on."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sam_evaluation.comparison import compare as compare
    from sam_evaluation.gap import gap_table as gap_table
    from sam_evaluation.report.write import write_report as write_report
    from sam_evaluation.run import Settings as Settings
    from sam_evaluation.run import evaluate as evaluate
    from sam_evaluation.stored import Run as Run
    from sam_evaluation.stored import load_run as load_run

# None of the names may be that of a module: once that is imported, it hides the function.
_PLACES = {
    "Run": "stored",
    "Settings": "run",
    "compare": "comparison",
    "evaluate": "run",
    "gap_table": "gap",
    "load_run": "stored",
    "write_report": "report.write",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: pandas and SciPy take a second that a command's help must not."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
