"""Settings from the environment."""

from pathlib import Path

import pytest

from sam_backend.errors import SamInspectError
from sam_backend.settings import settings


@pytest.fixture(autouse=True)
def fresh_settings():
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_a_wrong_value_is_told_with_its_variable(monkeypatch):
    monkeypatch.setenv("SAM_INSPECT_IMAGE_TIMEOUT", "soon")
    with pytest.raises(SamInspectError, match="SAM_INSPECT_IMAGE_TIMEOUT is 'soon'"):
        settings()


def test_an_empty_variable_is_as_good_as_none(monkeypatch):
    monkeypatch.setenv("SAM_INSPECT_HOME", "")
    assert settings().home != Path()
