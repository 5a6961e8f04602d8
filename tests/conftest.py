"""What holds for every test: nothing of the machine's own settings, folders or caches is read or written."""

import os

import pytest

from sam_backend.settings import settings


@pytest.fixture(scope="session", autouse=True)
def _own_settings(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SAM_INSPECT_") and name != "SAM_INSPECT_DATA"]:
            patch.delenv(name)
        patch.setenv("SAM_INSPECT_SETTINGS", os.devnull)
        patch.setenv("SAM_INSPECT_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("SAM_INSPECT_CACHE", str(tmp_path_factory.mktemp("cache")))
        settings.cache_clear()
        yield
    settings.cache_clear()
