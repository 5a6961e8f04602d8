"""Measures segmenters on annotated images: `evaluate`, `compare`, `gap_table`, `write_report` and their types."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sam_backend.extras import require_evaluation

if TYPE_CHECKING:
    from sam_evaluation.comparison import compare as compare
    from sam_evaluation.gap import gap_table as gap_table
    from sam_evaluation.report.write import write_report as write_report
    from sam_evaluation.run_files import Run as Run
    from sam_evaluation.run_files import load_run as load_run
    from sam_evaluation.run_plan import RunSettings as RunSettings
    from sam_evaluation.runner import evaluate as evaluate

# No name may be that of a module: once a module is imported, it hides the function of the same name.
_PLACES = {
    "Run": "run_files",
    "RunSettings": "run_plan",
    "compare": "comparison",
    "evaluate": "runner",
    "gap_table": "gap",
    "load_run": "run_files",
    "write_report": "report.write",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is used: the imports of pandas and SciPy would slow down the help of every command."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_evaluation(__name__)
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
