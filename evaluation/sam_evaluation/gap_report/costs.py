"""What the models of a run cost, each measured in a process of its own and kept on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from sam_backend.files import write_whole
from sam_backend.progress import ProgressCallback
from sam_backend.segmenters import ModelInfo, WeightFolders
from sam_backend.segmenters.hub import find_weights
from sam_backend.segmenters.measuring import Cost, measure
from sam_backend.segmenters.model_registry import known_models
from sam_evaluation.run_files import Run

_FILE = "costs.json"


def measure_costs(run: Run, out: Path, folders: WeightFolders, progress: ProgressCallback) -> Mapping[str, Cost]:
    """Return the cost of each model of a run; what an earlier call measured on this machine is not measured again.

    A baseline is not measured.

    Parameters
    ----------
    run : Run.
    out : Path, the folder of the run; it gets `costs.json`.
    folders : WeightFolders, where files of weights are.
    progress : called with the numbers of models done and in all.
    """
    infos = {info.name: info for info in known_models()}
    known = _read(out / _FILE)
    models = {name: facts["version"] for name, facts in run.about["models"].items() if name in infos}
    costs = {}
    for done, (model, version) in enumerate(models.items()):
        progress(done, len(models), model)
        key = f"{version} on {run.about['machine']}"
        costs[model] = known[key] if key in known else next(measure([infos[model]], folders))
        if not costs[model].problem:
            known[key] = costs[model]
        content = {name: asdict(cost) for name, cost in known.items()}
        write_whole(out / _FILE, json.dumps(content, indent=1).encode(), private=False)
    progress(len(models), len(models), "")
    return costs


def weights_bytes(info: ModelInfo, folders: WeightFolders) -> int:
    """Return the bytes of a model's downloaded weights on disk; 0 if it has none, or they are not here."""
    paths = [path for published in info.weights if (path := find_weights(published, folders))]
    files = [file for path in paths for file in (path.iterdir() if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in files)


def _read(file: Path) -> dict[str, Cost]:
    """Return the costs that are known; if the file is missing or damaged, they are measured again."""
    try:
        return {key: Cost(**fields) for key, fields in json.loads(file.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
