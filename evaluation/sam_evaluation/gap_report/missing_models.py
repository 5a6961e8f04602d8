"""Which models of a run cannot be loaded here, and what to do; nothing is loaded or downloaded to find out."""

from __future__ import annotations

from collections.abc import Sequence

from sam_backend.segmenters import ModelInfo, WeightFolders
from sam_backend.segmenters.hub import find_weights
from sam_evaluation.measured_models import check_model


def missing_models(models: Sequence[str], folders: WeightFolders) -> dict[str, str]:
    """Return what each model lacks, as a clause that begins with "its" or "it"; a model that is ready is not in it.

    Raises
    ------
    EvaluationError
        If there is no such model.
    """
    lacks = {name: _lacks(check_model(name), folders) for name in models}
    return {name: reason for name, reason in lacks.items() if reason}


def _lacks(info: ModelInfo, folders: WeightFolders) -> str:
    if info.missing_packages:
        return f"it needs {', '.join(info.missing_packages)}; run {info.install}"
    if all(find_weights(published, folders) for published in info.weights):
        return ""
    size = sum(published.size for published in info.weights) / 1e6
    licence = " --accept-licence" if info.repository and info.repository.licence_page else ""
    return f"its weights ({size:,.0f} MB) are not here; run sam-inspect download {info.name}{licence}"
