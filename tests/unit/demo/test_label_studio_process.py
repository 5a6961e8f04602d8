import stat

import pytest

from sam_backend.demo.demo_error import DemoError
from sam_backend.demo.label_studio_process import environment, load_credentials


def test_the_log_in_is_created_once_and_only_its_owner_can_read_it(tmp_path):
    first = load_credentials(tmp_path / "one")
    assert load_credentials(tmp_path / "one") == first
    assert stat.S_IMODE((tmp_path / "one" / "credentials.json").stat().st_mode) == 0o600
    assert load_credentials(tmp_path / "other").password != first.password


def test_the_log_in_is_not_shown_by_accident(tmp_path):
    credentials = load_credentials(tmp_path)
    assert credentials.password not in repr(credentials)
    assert credentials.token not in repr(credentials)


def test_a_damaged_log_in_is_reported_in_one_sentence(tmp_path):
    (tmp_path / "credentials.json").write_text('{"user": "x"}')
    with pytest.raises(DemoError, match="should hold the demo's log-in and does not"):
        load_credentials(tmp_path)


def test_label_studio_gets_neither_a_proxy_nor_other_variables_that_it_reads(tmp_path, monkeypatch):
    for name in ("HOST", "PORT", "USERNAME", "http_proxy", "DJANGO_DB"):
        monkeypatch.setenv(name, "elsewhere")
    assert "elsewhere" not in environment(tmp_path, load_credentials(tmp_path)).values()
