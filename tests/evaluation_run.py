"""A complete run for the tests of its report, from invented rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from sam_evaluation.run_files import FORMAT, Run


def run_of(
    objects: pd.DataFrame,
    images: pd.DataFrame | None = None,
    broken: pd.DataFrame | None = None,
    *,
    datasets: Mapping[str, str] = {"parts": "industrial"},
    models: tuple[str, ...] = ("a",),
    folder: Path = Path("gone"),
) -> Run:
    """Return a run with these rows; `datasets` has the domain of each data set. Their images do not exist."""
    card = {"format": "masks", "split": None, "title": "Parts", "licence": "free", "source": "", "citation": ""}
    about = {
        "format": FORMAT,
        "settings": {
            "protocols": "box",
            "seed": 3,
            "limit": None,
            "rule": {"connectivity": 8, "min_area": 20},
        },
        "models": {name: {"version": f"{name}-1", "checkpoint": None} for name in models},
        "datasets": {
            name: {
                **card,
                "folder": str(folder),
                "domain": domain,
                "samples": 9,
                "of": 9,
                "fingerprint": f"{place:08d}",
            }
            for place, (name, domain) in enumerate(datasets.items(), start=1)
        },
        "libraries": {"sam-inspect": "1.2.3"},
        "python": "3.11",
        "machine": "test",
    }
    empty = pd.DataFrame()
    return Run(objects, empty if images is None else images, empty if broken is None else broken, about)
