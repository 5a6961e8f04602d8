"""The models there are, as a table to read in a terminal."""

from rich.table import Table
from rich.text import Text

from sam_backend.segmenters.model_info import ModelInfo
from sam_backend.segmenters.registry import known_models
from sam_backend.segmenters.weights import find_checkpoint


def models_table() -> Table:
    """Return one row a model: what it is, its licence, and what it still needs on this machine."""
    table = Table("Model", "What it is", "Licence", "Weights")
    for info in known_models():
        # rich would read the brackets of an extra in a plain string as markup.
        table.add_row(info.name, info.description, info.licence, Text(_weights(info)))
    return table


def _weights(info: ModelInfo) -> str:
    if not info.files:
        lines = ["nothing to download"]
    elif None in (paths := [find_checkpoint(file) for file in info.files]):
        lines = [f"{sum(file.size for file in info.files) / 1e6:,.0f} MB: sam-inspect download {info.name}"]
    else:
        lines = [str(path) for path in paths]
    if info.missing_packages:
        lines.append(f"needs {info.install}")
    return "\n".join(lines)
