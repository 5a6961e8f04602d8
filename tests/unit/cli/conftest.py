"""A data set to type commands on."""

from __future__ import annotations

from pathlib import Path

import pytest

from colour_segmenter import write_surfaces


@pytest.fixture(scope="session")
def surfaces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_surfaces(tmp_path_factory.mktemp("surfaces"))
