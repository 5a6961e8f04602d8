import json
import logging
import os
import stat

import pytest
from filelock import FileLock

from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.labelstudio import servers
from sam_backend.labelstudio.servers import Server, ServerRegistry
from tokens import LEGACY

HERE, THERE = "https://labels.here.example", "https://there.example/label-studio"


def test_projects_with_one_id_on_two_servers_are_reported_apart_across_restarts(tmp_path):
    before = ServerRegistry(tmp_path)
    before.remember("1.1795411201", HERE, "token-here")
    before.remember("1.1700000000", THERE + "/", "token-there")
    after = ServerRegistry(tmp_path)
    assert after.find("1.1795411201") == Server(HERE, "token-here")
    assert after.find("1.1700000000") == Server(THERE, "token-there")
    assert after.find("2.1700000000") is None


def test_the_last_setup_of_a_project_wins(tmp_path):
    registry = ServerRegistry(tmp_path)
    registry.remember("1.1", HERE, "old")
    registry.remember("1.1", HERE, "new")
    assert registry.find("1.1") == ServerRegistry(tmp_path).find("1.1") == Server(HERE, "new")


def test_two_processes_keep_what_the_other_remembered(tmp_path):
    one, other = ServerRegistry(tmp_path), ServerRegistry(tmp_path)
    one.remember("1.1", HERE, "a")
    other.remember("2.2", THERE, "b")
    assert ServerRegistry(tmp_path).find("1.1") == Server(HERE, "a")


def test_a_process_finds_what_another_one_remembered_since(tmp_path):
    one, other = ServerRegistry(tmp_path), ServerRegistry(tmp_path)
    one.remember("1.1", HERE, "a")
    assert other.find("1.1") == Server(HERE, "a")


def test_the_file_of_tokens_is_its_owners_alone_and_nothing_but_its_lock_is_left(tmp_path):
    ServerRegistry(tmp_path / "new" / "folder").remember("1.1", HERE, LEGACY)
    files = {file.name: file for file in (tmp_path / "new" / "folder").iterdir()}
    assert set(files) <= {"servers.json", "servers.lock"}
    assert stat.S_IMODE(files["servers.json"].stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text", ['{"1.1": {"hostname": "http://x", "tok', "[]", '{"1.1": "secret-token"}', '{"1.1": {"token": "secret"}}']
)
def test_a_corrupt_file_is_moved_aside_with_one_line_that_holds_no_token(tmp_path, text, caplog):
    (tmp_path / "servers.json").write_text(text)
    registry = ServerRegistry(tmp_path)
    assert registry.find("1.1") is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "servers.corrupt" in caplog.text
    assert "secret" not in caplog.text
    registry.remember("1.1", HERE, "new")
    assert json.loads((tmp_path / "servers.json").read_text())["1.1"]["hostname"] == HERE
    assert (tmp_path / "servers.corrupt").read_text() == text


def test_the_settings_fill_in_for_a_project_that_never_called_setup(tmp_path):
    registry = ServerRegistry(tmp_path, url=HERE + "/", api_key="key")
    assert registry.find("7.7") == Server(HERE, "key")


def test_the_settings_address_stands_for_the_public_one_and_for_no_other(tmp_path):
    public = "https://labels.example.com/studio"
    registry = ServerRegistry(tmp_path, url="http://label-studio:8080", public_url=f"{public}/", api_key="key")
    registry.remember("1.1", public, "token")
    registry.remember("2.1", "https://elsewhere.example.com", "other")
    assert registry.find("1.1") == Server("http://label-studio:8080", "key")
    assert registry.find("1.1").announced == public
    assert registry.find("2.1") == Server("https://elsewhere.example.com", "other")


def test_a_public_address_alone_is_refused(tmp_path):
    with pytest.raises(SamInspectError, match="SAM_INSPECT_LABEL_STUDIO_PUBLIC_URL needs SAM_INSPECT_LABEL_STUDIO_URL"):
        ServerRegistry(tmp_path, public_url="https://labels.example.com")


def test_the_settings_address_replaces_a_localhost_that_means_another_machine(tmp_path):
    registry = ServerRegistry(tmp_path, url=HERE)
    registry.remember("1.1", "http://localhost:8080", "token")
    registry.remember("2.2", THERE, "other")
    assert registry.find("1.1") == Server(HERE, "token")
    assert registry.find("2.2") == Server(THERE, "other")


def test_the_settings_key_wins_but_is_not_given_to_another_server(tmp_path):
    registry = ServerRegistry(tmp_path, url=HERE, api_key="key")
    registry.remember("1.1", HERE, "token")
    registry.remember("2.2", THERE, "other")
    assert registry.find("1.1") == Server(HERE, "key")
    assert registry.find("2.2") == Server(THERE, "other")
    with pytest.raises(SamInspectError, match="needs SAM_INSPECT_LABEL_STUDIO_URL as well"):
        ServerRegistry(tmp_path, api_key="key")


def test_a_server_does_not_show_its_token():
    assert LEGACY not in repr(Server(HERE, LEGACY))


def test_the_identity_of_a_server_is_that_of_its_address_whatever_its_token_is():
    assert Server(HERE, "a").identity == Server(HERE, "b").identity
    assert Server(HERE, "a").identity != Server(THERE, "a").identity
    assert Server(HERE, "a", identity="kept").identity == "kept"


def test_the_identity_of_a_project_stays_when_its_address_changes(tmp_path):
    registry = ServerRegistry(tmp_path)
    registry.remember("1.1", "http://localhost:8080", "a")
    identity = registry.find("1.1").identity
    assert ServerRegistry(tmp_path, url=HERE).find("1.1").identity == identity
    registry.remember("1.1", HERE, "a")
    assert ServerRegistry(tmp_path).find("1.1").identity == identity


def test_a_process_sees_the_token_that_another_one_renewed(tmp_path):
    one, other = ServerRegistry(tmp_path), ServerRegistry(tmp_path)
    one.remember("1.1", HERE, "old")
    assert other.find("1.1").token == "old"
    one.remember("1.1", HERE, "new")
    assert other.find("1.1").token == "new"


def test_a_held_lock_ends_in_an_error_and_the_server_is_known_and_written_later(tmp_path, monkeypatch):
    monkeypatch.setattr(servers, "_LOCK_TIMEOUT", 0.05)
    registry = ServerRegistry(tmp_path)
    with FileLock(tmp_path / "servers.lock"):
        with pytest.raises(TimeoutError, match="another process has held the lock"):
            registry.remember("1.1", HERE, "a")
        assert registry.find("1.1") == Server(HERE, "a")
    registry.remember("1.1", HERE, "a")
    assert ServerRegistry(tmp_path).find("1.1") == Server(HERE, "a")


def test_temporary_files_with_tokens_are_removed_at_the_start(tmp_path):
    left = tmp_path / "servers.json.123.456.part"
    left.write_text("token")
    with FileLock(tmp_path / "servers.lock"):
        ServerRegistry(tmp_path)
        assert left.exists(), "another process may be writing"
    ServerRegistry(tmp_path)
    assert not left.exists()


def test_folder_and_lock_are_their_owners_alone(tmp_path):
    before = os.umask(0)
    try:
        ServerRegistry(tmp_path / "home").remember("1.1", HERE, LEGACY)
    finally:
        os.umask(before)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in [tmp_path / "home", *(tmp_path / "home").iterdir()]
    }
    assert modes == {"home": 0o700, "servers.json": 0o600, "servers.lock": 0o600}


@pytest.mark.parametrize("url", ["127.0.0.1:9", "labels.example.com", "http://user:secret@x", "http://x?a"])
def test_a_wrong_address_in_the_settings_is_refused_at_the_start(tmp_path, url):
    with pytest.raises(SamInspectError, match=r"SAM_INSPECT_LABEL_STUDIO_URL is .*http://") as caught:
        ServerRegistry(tmp_path, url=url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("token", ["a\nb", "a b", "\ud800", "x" * 5000])
def test_what_is_no_token_is_refused(tmp_path, token):
    with pytest.raises(BadRequestError, match="The access token is no token"):
        ServerRegistry(tmp_path).remember("1.1", HERE, token)
    with pytest.raises(SamInspectError, match="SAM_INSPECT_LABEL_STUDIO_API_KEY is no token"):
        ServerRegistry(tmp_path, url=HERE, api_key=token)


def test_a_key_from_a_file_may_end_with_a_line_end(tmp_path):
    assert ServerRegistry(tmp_path, url=HERE, api_key="key\n").find("1.1").token == "key"


def test_the_number_of_projects_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(servers, "MAX_PROJECTS", 2)
    registry = ServerRegistry(tmp_path)
    for uid in ("1.1", "2.2", "1.1"):
        registry.remember(uid, HERE, "a")
    for uid in ("3.3", "9" * 101):
        with pytest.raises(BadRequestError, match="is not remembered"):
            registry.remember(uid, HERE, "a")
