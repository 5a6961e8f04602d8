"""The demo's backend as a child process."""

from contextlib import contextmanager

import pytest

from sam_backend.demo import backend_process
from sam_backend.settings import Settings


def test_the_backend_gets_the_users_folders_of_weights_and_downloads_and_no_other_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    environments = []

    @contextmanager
    def running(*_, environment, **__):
        environments.append(environment)
        yield

    monkeypatch.setattr(backend_process, "running", running)
    monkeypatch.setenv("SAM_INSPECT_LABEL_STUDIO_URL", "http://labels")
    settings = Settings(weights=tmp_path / "weights", cache=tmp_path / "cache", model="grabcut", image_timeout=1)
    with backend_process.backend("nano", settings, home=tmp_path, port=1):
        own = {name: value for name, value in environments[0].items() if name.startswith("SAM_INSPECT_")}
    assert own == {
        "SAM_INSPECT_WEIGHTS": str(tmp_path / "weights"),
        "SAM_INSPECT_CACHE": str(tmp_path / "cache"),
        "SAM_INSPECT_HOME": str(tmp_path / "backend"),
        "SAM_INSPECT_SETTINGS": "/dev/null",
    }


def test_the_backend_is_told_where_label_studio_is_this_time(tmp_path, monkeypatch):
    environments = []

    @contextmanager
    def running(*_args, environment, **_options):
        environments.append(environment)
        yield

    monkeypatch.setattr(backend_process, "running", running)
    settings = Settings(cache=tmp_path / "cache")
    with backend_process.backend("nano", settings, home=tmp_path, port=1, label_studio="http://127.0.0.1:8081"):
        assert environments[0]["SAM_INSPECT_LABEL_STUDIO_URL"] == "http://127.0.0.1:8081"
