"""Who may say where the Label Studio of a project is."""

import json

import pytest

from loopback import send, serving
from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.connecting import UnprovenHostError, connect_project
from sam_backend.labelstudio.servers import Server, ServerRegistry
from tokens import LEGACY, make_jwt

PROJECT = "7.1795411201"
OTHER = "f" * 40


def with_token(token, answer=b"{}"):
    """Answer requests with this token; refuse others."""

    def route(handler):
        if handler.headers.get("Authorization", "").split()[-1:] == [token]:
            send(handler, answer)
        else:
            handler.send_error(401)

    return route


@pytest.fixture
def label_studio():
    with serving() as server:
        server.routes["/api/projects/7/"] = with_token(LEGACY)
        yield server


@pytest.fixture
def stranger():
    with serving() as server:
        yield server


@pytest.fixture
def servers(tmp_path, label_studio):
    registry = ServerRegistry(tmp_path)
    connect_project(registry, PROJECT, label_studio.url, LEGACY)
    return registry


@pytest.mark.parametrize("token", ["", OTHER, make_jwt("refresh")], ids=["none", "legacy", "personal"])
def test_a_known_project_keeps_its_label_studio_without_a_proof(servers, label_studio, stranger, token, tmp_path):
    with pytest.raises(UnprovenHostError, match="is not changed") as caught:
        connect_project(servers, PROJECT, stranger.url, token)
    assert caught.value.status == 403
    assert servers.find(PROJECT) == ServerRegistry(tmp_path).find(PROJECT) == Server(label_studio.url, LEGACY)
    assert stranger.requests == []


def test_a_token_that_the_known_label_studio_accepts_is_a_proof(servers, label_studio, stranger):
    identity = servers.find(PROJECT).identity
    connect_project(servers, PROJECT, stranger.url, LEGACY)
    assert servers.find(PROJECT) == Server(stranger.url, LEGACY)
    assert servers.find(PROJECT).identity == identity
    assert stranger.requests == []
    assert label_studio.paths() == ["/api/projects/7/"]


def test_a_personal_access_token_is_a_proof_too(servers, label_studio, stranger):
    short_lived = make_jwt("access")
    label_studio.routes["/api/token/refresh/"] = json.dumps({"access": short_lived}).encode()
    label_studio.routes["/api/projects/7/"] = with_token(short_lived)
    connect_project(servers, PROJECT, stranger.url, make_jwt("refresh"))
    assert servers.find(PROJECT).hostname == stranger.url


def test_a_label_studio_that_does_not_answer_proves_nothing(tmp_path, stranger):
    servers = ServerRegistry(tmp_path)
    with serving() as gone:
        url = gone.url
    connect_project(servers, PROJECT, url, LEGACY)
    with pytest.raises(UnprovenHostError):
        connect_project(servers, PROJECT, stranger.url, LEGACY)


def test_the_operators_setting_is_a_proof(servers, tmp_path, stranger):
    moved = ServerRegistry(tmp_path, url=stranger.url)
    connect_project(moved, PROJECT, stranger.url, OTHER)
    assert moved.find(PROJECT) == Server(stranger.url, OTHER)


def test_localhost_that_the_settings_replace_is_no_new_label_studio(tmp_path, label_studio):
    servers = ServerRegistry(tmp_path, url="http://ls.factory:8080")
    for port in (8080, 8081):
        connect_project(servers, PROJECT, f"http://localhost:{port}", LEGACY)
    assert servers.find(PROJECT) == Server("http://ls.factory:8080", LEGACY)


@pytest.mark.parametrize("token", ["", OTHER])
def test_a_token_that_does_not_work_does_not_replace_one(servers, label_studio, token):
    connect_project(servers, PROJECT, label_studio.url + "/", token)
    assert servers.find(PROJECT) == Server(label_studio.url, LEGACY)


def test_a_new_token_that_works_replaces_the_old_one(servers, label_studio):
    label_studio.routes["/api/projects/7/"] = with_token(OTHER)
    connect_project(servers, PROJECT, label_studio.url, OTHER)
    assert servers.find(PROJECT) == Server(label_studio.url, OTHER)


@pytest.mark.parametrize(
    "hostname", ["10.0.0.5:8080", "http://u:p@x", "http://x/api/users?a=", "http://x#a", "http://x/../y", "ftp://x"]
)
def test_a_hostname_that_could_lead_elsewhere_is_refused_with_a_sentence(servers, hostname):
    with pytest.raises(BadRequestError, match="LABEL_STUDIO_HOST"):
        connect_project(servers, "8.1", hostname, LEGACY)
    assert servers.find("8.1") is None


def test_the_operators_key_goes_to_the_operators_server_alone(tmp_path):
    servers = ServerRegistry(tmp_path, url="http://ls.factory", api_key=LEGACY)
    connect_project(servers, "8.1", "http://stranger.example", "")
    assert servers.find("8.1") == Server("http://stranger.example", "")


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "224.0.0.1", "[::ffff:169.254.169.254]"])
def test_an_address_that_no_label_studio_has_is_refused(servers, host):
    with pytest.raises(BadRequestError, match="an address that no Label Studio has"):
        connect_project(servers, "8.1", f"http://{host}:8080", LEGACY)
