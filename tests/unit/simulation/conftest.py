"""A data set of surfaces with a red and a green square each, and a model that outlines pixels of one colour."""

from __future__ import annotations

from pathlib import Path

import pytest

from colour_segmenter import ColourSegmenter, write_surfaces
from sam_backend.segmenters.cache import EmbeddingCache
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.simulation.annotator import Habits
from sam_evaluation.simulation.image_set import EmbeddingCaches
from sam_evaluation.simulation.loop import Conditions
from sam_evaluation.simulation.simulation_data import SimulationData

BUDGET = 6


@pytest.fixture(scope="session")
def surfaces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_surfaces(tmp_path_factory.mktemp("surfaces"))


@pytest.fixture
def data(surfaces: Path) -> SimulationData:
    spec = DatasetSpec("masks", surfaces)
    names = list(spec.open().names())
    return SimulationData(spec, tuple(names[:BUDGET]), spec, tuple(names[BUDGET : BUDGET + 3]), "0")


@pytest.fixture
def conditions() -> Conditions:
    return Conditions("nano", BUDGET, Habits(accept=0.8), tune_every=4)


@pytest.fixture
def embeddings(segmenter: ColourSegmenter) -> EmbeddingCaches:
    return EmbeddingCaches(
        EmbeddingCache.of_megabytes(64, None, 0), EmbeddingCache.of_megabytes(64, None, 0), "colour-1"
    )


@pytest.fixture
def segmenter() -> ColourSegmenter:
    return ColourSegmenter()
