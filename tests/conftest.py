"""What holds for every test: nothing of the machine's own settings, folders or caches is read or written."""

import os
from pathlib import Path

# OpenBLAS reads this as NumPy is loaded: on the tiny matrices of tests its threads only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest

from object_stores import moto, s3  # noqa: F401  # fixtures

_TESTS = Path(__file__).parent
# Folders whose tests are all slow: a real Label Studio in a browser, and the training of the embedded model.
_SLOW = (_TESTS / "e2e", _TESTS / "unit" / "research")
# Folders whose tests run in one process: one Label Studio, and one cluster, since two Rays on a machine give the
# processes for their clients the same ports.
_TOGETHER = ("tests/e2e/", "tests/unit/cluster/")


def pytest_ignore_collect(collection_path, config):
    """Leave out whole files of slow tests where they are not wanted: importing PyTorch for nothing takes seconds."""
    if config.option.markexpr != "not slow" or collection_path.suffix != ".py":
        return None
    is_slow = any(folder in collection_path.parents for folder in _SLOW)
    return is_slow or "\npytestmark = pytest.mark.slow\n" in collection_path.read_text(encoding="utf-8") or None


def pytest_collection_modifyitems(items):
    """Mark tests by their folder; files with slow tests come first, so that no process waits for one at the end."""
    for item in items:
        if any(folder in item.path.parents for folder in _SLOW):
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep the tests of one file, and those of some folders, in one process where pytest-xdist runs several.

    Its own groups, `--dist loadgroup`, do nothing with pytest 9.2.
    """
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return next((folder for folder in _TOGETHER if file.startswith(folder)), file)

    # Else the files with most tests come first, which are quick.
    config.option.loadscopereorder = False
    return Together(config, log)


@pytest.fixture(scope="session", autouse=True)
def _own_settings(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SAM_INSPECT_") and name != "SAM_INSPECT_DATA"]:
            patch.delenv(name)
        patch.setenv("SAM_INSPECT_SETTINGS", os.devnull)
        patch.setenv("SAM_INSPECT_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("SAM_INSPECT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
