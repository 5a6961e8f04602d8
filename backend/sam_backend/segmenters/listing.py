"""The models there are, as a table to read in a terminal."""

from rich.table import Table
from rich.text import Text

from sam_backend.segmenters.registry import TORCH_EXTRA, ModelInfo, known_models


def models_table() -> Table:
    """Return one row a model: what it is, under which licence, and what it still needs on this machine."""
    table = Table("Model", "What it is", "Licence", "Weights")
    for model in known_models():
        # A text, for rich would take the extra's brackets for markup.
        table.add_row(model.name, model.description, model.licence, Text(_weights(model)))
    return table


def _weights(model: ModelInfo) -> str:
    if model.checkpoint is None:
        return "nothing to download"
    state = str(model.weights or f"{model.checkpoint.size / 1e6:,.0f} MB: sam-inspect download {model.name}")
    return f"{state}\nneeds {TORCH_EXTRA}" if model.missing_packages else state
