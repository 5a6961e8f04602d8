"""What the models of a run cost, each measured in a process of its own and kept on disk."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from PIL import Image

from sam_backend.files import write_whole
from sam_backend.progress import ProgressCallback
from sam_backend.segmenters import ModelInfo, WeightFolders, measuring
from sam_backend.segmenters.hub import find_weights
from sam_backend.segmenters.measuring import Cost, measure
from sam_evaluation.measured_models import check_model, is_baseline
from sam_evaluation.report.run_datasets import open_dataset
from sam_evaluation.run_files import Run

_FILE = "costs.json"


def measure_costs(run: Run, out: Path, folders: WeightFolders, progress: ProgressCallback) -> Mapping[str, Cost]:
    """Return the cost of each model of a run; what an earlier call measured on these images is not measured again.

    The images are the first, the middle and the last one with an object of each data set. A baseline is not measured.

    Parameters
    ----------
    run : Run, whose images are still on disk.
    out : Path, the folder of the run; it gets `costs.json`.
    folders : WeightFolders, where files of weights are.
    progress : called with the numbers of models done and in all.
    """
    known = _read(out / _FILE)
    facts = json.dumps([run.about["machine"], run.about["datasets"], run.about["settings"]])
    models = {
        name: hashlib.sha256(f"{about['version']}\n{facts}".encode()).hexdigest()[:16]
        for name, about in run.about["models"].items()
        if not is_baseline(name)
    }
    with tempfile.TemporaryDirectory() as folder:
        images = [] if set(models.values()) <= set(known) else _images(run, Path(folder))
        for done, (model, key) in enumerate(models.items()):
            progress(done, len(models), model)
            if key not in known:
                known[key] = next(measure([check_model(model)], folders, images=images))
            content = {key: asdict(cost) for key, cost in known.items() if not cost.problem}
            write_whole(out / _FILE, json.dumps(content, indent=1).encode(), private=False)
    progress(len(models), len(models), "")
    return {model: known[key] for model, key in models.items()}


def _images(run: Run, folder: Path) -> list[Path]:
    """Write the images to measure on into a folder, as the readers of the data sets give them."""
    files: list[Path] = []
    for dataset, rows in run.objects.groupby("dataset", sort=False)["sample"]:
        opened, names = open_dataset(run.about, str(dataset)), rows.unique()
        for name in dict.fromkeys([names[0], names[len(names) // 2], names[-1]]):
            files.append(folder / f"{len(files)}.png")
            Image.fromarray(opened.load(name).image).save(files[-1])
    return files


def weights_bytes(info: ModelInfo, folders: WeightFolders) -> int:
    """Return the bytes of a model's weights on disk, packaged or downloaded; 0 if it has none."""
    paths = [path for published in info.weights if (path := find_weights(published, folders))]
    files = [file for path in paths for file in (path.iterdir() if path.is_dir() else [path])]
    packaged = Path(measuring.__file__).parent / info.name
    return sum(file.stat().st_size for file in files or packaged.glob("*.onnx"))


def _read(file: Path) -> dict[str, Cost]:
    """Return the costs that are known; if the file is missing or damaged, they are measured again."""
    try:
        return {key: Cost(**fields) for key, fields in json.loads(file.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
