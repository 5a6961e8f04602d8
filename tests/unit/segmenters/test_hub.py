"""Models that are published as folders: found, fetched through a mirror, checked, and refused in one sentence."""

import hashlib
import json

import pytest

from loopback import send, serving
from sam_backend.errors import WeightsError
from sam_backend.segmenters.hub import find_repository, obtain_repository
from sam_backend.segmenters.model_info import Repository, WeightFolders

REPOSITORY = Repository("sam9:tiny", "owner/sam9-tiny", 1000)
GATED = Repository("sam9:tiny", "owner/sam9-tiny", 1000, "https://example.com/licence")
TABLE = json.dumps(
    {"__metadata__": {}, "weight": {"dtype": "U8", "shape": [18000], "data_offsets": [0, 18000]}}
).encode()
FILES = {
    "config.json": b"{}",
    "preprocessor_config.json": b'{"size": 9}',
    "model.safetensors": len(TABLE).to_bytes(8, "little") + TABLE + b"weights of a model" * 1000,
}
PLACE = "/models/owner/sam9-tiny/resolve/main/"


@pytest.fixture
def server():
    with serving() as loopback:
        for name, content in FILES.items():
            loopback.routes[PLACE + name] = content
        yield loopback


@pytest.fixture
def folders(tmp_path, server):
    return WeightFolders(
        tmp_path / "given", tmp_path / "cache", mirror=f"{server.url}/models", hub_token="secret-token"
    )


def stored_elsewhere(server, sha256):
    """Let the server send weights as the Hub does: the first answer names the store, their size and their SHA-256."""

    def redirect(handler):
        handler.send_response(302)
        handler.send_header("Location", f"{server.url}/store")
        handler.send_header("X-Linked-Size", str(len(FILES["model.safetensors"])))
        handler.send_header("X-Linked-ETag", f'"{sha256}"')
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.routes[PLACE + "model.safetensors"] = redirect
    server.routes["/store"] = FILES["model.safetensors"]


def test_a_folder_is_fetched_once_checked_and_found_again(server, folders):
    stored_elsewhere(server, hashlib.sha256(FILES["model.safetensors"]).hexdigest())
    assert find_repository(REPOSITORY, folders) is None
    folder = obtain_repository(REPOSITORY, folders)
    assert folder == folders.cache / "weights" / "owner--sam9-tiny"
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name in FILES} == FILES
    assert server.requests[0][0]["Authorization"] == "Bearer secret-token"
    asked = len(server.requests)
    assert obtain_repository(REPOSITORY, folders) == find_repository(REPOSITORY, folders) == folder
    assert len(server.requests) == asked


def test_a_folder_put_there_by_hand_comes_first_and_needs_no_record(server, folders):
    given = folders.given / "owner--sam9-tiny"
    given.mkdir(parents=True)
    for name, content in FILES.items():
        (given / name).write_bytes(content)
    assert obtain_repository(REPOSITORY, folders) == given
    assert not server.requests


def test_a_redirection_within_the_server_is_followed(server, folders):
    def moved(handler):
        handler.send_response(307)
        handler.send_header("Location", "/cache/config.json")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.routes[PLACE + "config.json"] = moved
    server.routes["/cache/config.json"] = FILES["config.json"]
    assert (obtain_repository(REPOSITORY, folders) / "config.json").read_bytes() == FILES["config.json"]


def test_a_redirection_to_another_server_is_followed_without_the_token(server, folders):
    def moved(handler):
        handler.send_response(301)
        handler.send_header("Location", f"{other.url}/config.json")
        handler.send_header("Content-Length", "11")
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(b"It has moved")

    server.routes[PLACE + "config.json"] = moved
    with serving() as other:
        other.routes["/config.json"] = FILES["config.json"]
        assert (obtain_repository(REPOSITORY, folders) / "config.json").read_bytes() == FILES["config.json"]
        assert other.requests
        assert not any("Authorization" in headers for headers, _, _ in other.requests)


def round_and_round(handler):
    handler.send_response(302)
    handler.send_header("Location", handler.path)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def without_a_size(handler):
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "states no size of it, or 0"),
        (without_a_size, "states no size of it, or 0"),
        (round_and_round, "answered 302"),
        (500, "answered 500"),
    ],
    ids=["empty", "no size", "circle", "500"],
)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_an_answer_without_a_file_is_refused_with_the_way_on(server, folders, name, answer, reason):
    server.routes[PLACE + name] = answer
    with pytest.raises(
        WeightsError, match=rf"Cannot download {server.url}.*{name}: the server {reason}; to go on .*put"
    ):
        obtain_repository(REPOSITORY, folders)


def test_half_a_file_of_weights_is_refused_and_not_kept(server, folders):
    server.routes[PLACE + "model.safetensors"] = FILES["model.safetensors"][:9000]
    with pytest.raises(WeightsError, match=r"model\.safetensors is no whole file of safetensors"):
        obtain_repository(REPOSITORY, folders)
    server.routes[PLACE + "model.safetensors"] = FILES["model.safetensors"]
    assert obtain_repository(REPOSITORY, folders).is_dir()


def test_what_is_not_what_the_server_announced_is_refused_and_fetched_again(server, folders):
    stored_elsewhere(server, "0" * 64)
    with pytest.raises(WeightsError, match=f"not what the server announced: its SHA-256 is .*, expected {'0' * 64}"):
        obtain_repository(REPOSITORY, folders)
    assert find_repository(REPOSITORY, folders) is None
    server.routes[PLACE + "model.safetensors"] = FILES["model.safetensors"]
    assert obtain_repository(REPOSITORY, folders)


def test_a_file_that_changed_after_the_download_is_refused(folders):
    folder = obtain_repository(REPOSITORY, folders)
    (folder / "config.json").write_bytes(b"[]")
    with pytest.raises(WeightsError, match=r"config\.json is not the file that was downloaded; delete .*sam9-tiny"):
        obtain_repository(REPOSITORY, folders)
    (folder / "downloaded.json").write_text(json.dumps([]))
    with pytest.raises(WeightsError, match=r"downloaded\.json cannot be read; delete"):
        obtain_repository(REPOSITORY, folders)


@pytest.mark.parametrize(
    ("name", "kind", "page"),
    [
        ("config.json", "JSON object", b"<html>Log in</html>"),
        ("config.json", "JSON object", b"[]"),
        ("model.safetensors", "whole file of safetensors", b"<html>Log in</html>"),
    ],
)
def test_a_page_in_place_of_a_file_is_refused_and_not_kept(server, folders, name, kind, page):
    server.routes[PLACE + name] = page
    with pytest.raises(WeightsError, match=rf"{name} is no {kind}; expected a folder like .*wrong SAM_INSPECT_MIRROR"):
        obtain_repository(REPOSITORY, folders)
    server.routes[PLACE + name] = FILES[name]
    assert obtain_repository(REPOSITORY, folders).is_dir()


@pytest.mark.parametrize(
    ("mirror", "reason"),
    [
        ("http://no-such-host.invalid/models", "Name or service not known|nodename|resolution"),
        ("mirror.example.com", "missing an 'http://' or 'https://' protocol"),
        ("http://127.0.0.1:1", "refused"),
        ("http://mirror:port", "Invalid port"),
    ],
)
def test_a_mirror_that_cannot_be_reached_is_named_with_the_way_on(tmp_path, mirror, reason):
    folders = WeightFolders(None, tmp_path, mirror=mirror)
    with pytest.raises(WeightsError, match=rf"Cannot download {mirror}/owner/.*config\.json: .*({reason}).* put"):
        obtain_repository(REPOSITORY, folders)


def test_a_mirror_without_the_model_is_named(server, folders):
    server.routes.clear()
    with pytest.raises(WeightsError, match=rf"{server.url}/models/owner/sam9-tiny/resolve/main/ has no config\.json"):
        obtain_repository(REPOSITORY, folders)


@pytest.mark.parametrize("status", [401, 403])
def test_a_model_behind_a_licence_says_what_to_do_and_keeps_the_token(server, folders, status):
    server.routes[PLACE + "config.json"] = status
    with pytest.raises(WeightsError, match=rf"refused \({status}\): accept .* https://example.com/licence") as caught:
        obtain_repository(GATED, folders, accept_licence=True)
    assert "SAM_INSPECT_HUB_TOKEN" in str(caught.value)
    assert "secret-token" not in str(caught.value) + repr(folders)


def test_what_an_earlier_run_got_from_another_server_is_not_kept(server, folders):
    folder = folders.cache / "weights" / "owner--sam9-tiny"
    folder.mkdir(parents=True)
    (folder / "config.json.part").write_bytes(b"[]")
    (folder / "preprocessor_config.json.part").write_bytes(b'{"a": "longer file of another model"}')
    (folder / "model.safetensors.part").write_bytes(bytes(20_000))
    obtain_repository(REPOSITORY, folders)
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES


def test_a_licence_must_be_accepted_before_the_download_alone(server, folders):
    with pytest.raises(WeightsError, match=r"licence of its own: read .*, run `sam-inspect download sam9:tiny --acc"):
        obtain_repository(GATED, folders)
    assert not server.requests
    folder = obtain_repository(GATED, folders, accept_licence=True)
    assert obtain_repository(GATED, folders) == folder


def test_a_lost_file_or_server_names_what_to_put_where(server, folders, tmp_path):
    del server.routes[PLACE + "model.safetensors"]
    with pytest.raises(
        WeightsError, match=r"has no model\.safetensors; expected a folder like https://huggingface\.co/"
    ):
        obtain_repository(REPOSITORY, folders)
    away = WeightFolders(None, tmp_path / "other", mirror="http://127.0.0.1:1")
    with pytest.raises(WeightsError) as caught:
        obtain_repository(REPOSITORY, away)
    parts = ("to go on without the network", "config.json", "model.safetensors", str(tmp_path / "other"), "sam9-tiny")
    assert all(part in str(caught.value) for part in parts)


def test_an_explicit_folder_that_lacks_a_file_is_an_error(folders, tmp_path):
    with pytest.raises(WeightsError, match=r"lacks config\.json; sam9:tiny needs a folder like"):
        obtain_repository(REPOSITORY, folders, tmp_path)


def test_a_download_that_broke_off_goes_on_where_it_stopped(server, folders):
    content, asked = FILES["model.safetensors"], []

    def rest(handler):
        if handler.command == "HEAD":
            send(handler, content)
            return
        asked.append(handler.headers["Range"])
        start = int(asked[-1].removeprefix("bytes=").removesuffix("-"))
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start:])

    folder = folders.cache / "weights" / "owner--sam9-tiny"
    folder.mkdir(parents=True)
    (folder / "model.safetensors.part").write_bytes(content[:700])
    server.routes[PLACE + "model.safetensors"] = rest
    assert (obtain_repository(REPOSITORY, folders) / "model.safetensors").read_bytes() == content
    assert asked == ["bytes=700-"]
