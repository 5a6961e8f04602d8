"""Which token Ray is told to send; the cluster is one answer of a server."""

import os
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import grpc
import pytest
import ray

from sam_backend.cluster import connection
from sam_backend.cluster.connection import open_workers
from sam_backend.errors import SamInspectError
from sam_backend.settings import Settings


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    return tmp_path


class _Head(grpc.GenericRpcHandler):
    """Answers every question that brings the token."""

    def __init__(self, token):
        self.token = token

    def service(self, details):
        def answer(request, context):
            if self.token and ("authorization", f"Bearer {self.token}") not in context.invocation_metadata():
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
def head():
    """A function that starts the head of a cluster, with or without a token, and returns its address."""
    servers = []

    def start(token=""):
        server = grpc.server(ThreadPoolExecutor(1), [_Head(token)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(None)


@pytest.fixture
def opened(monkeypatch):
    """A function that opens workers, and returns the address and the variables that Ray then had."""
    seen = []

    def init(address, **options):
        names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
        seen[:] = address, {name: os.environ[name] for name in names if name in os.environ}
        raise OSError("This is enough.")

    monkeypatch.setattr(ray, "init", init)

    def open_one(address):
        with pytest.raises(SamInspectError, match="This is enough"), open_workers(address, [], Settings()):
            pass
        assert "RAY_AUTH_MODE" not in os.environ
        return tuple(seen)

    return open_one


@pytest.fixture(params=["auto", "", "ray://"])
def asked(request, monkeypatch):
    """A function that gives the address to open for that of a head: as it is, of Ray Client, or found by Ray."""

    def address(of):
        monkeypatch.setattr(ray._private.services, "canonicalize_bootstrap_address", lambda named: of)
        return "auto" if request.param == "auto" else request.param + of

    return address


def test_a_token_is_sent_where_a_cluster_wants_it_and_nowhere_else(home, head, asked, opened):
    (home / ".ray" / "auth_token").write_text("abc\n")
    address = head("abc")
    assert opened(asked(address)) == (asked(address).replace("auto", address), {"RAY_AUTH_MODE": "token"})
    address = head()
    assert opened(asked(address)) == (asked(address).replace("auto", address), {"RAY_AUTH_MODE": "disabled"})


def test_a_token_that_is_missing_or_another_one_says_what_to_do(home, head, asked, monkeypatch):
    address = asked(head("abc"))
    sentence = "wants its token, and this machine has {}; put what its head has in ~/.ray/auth_token into the same file"
    with pytest.raises(SamInspectError, match=sentence.format("none")), open_workers(address, [], Settings()):
        pass
    monkeypatch.setenv("RAY_AUTH_TOKEN", "no\ntoken")
    with pytest.raises(SamInspectError, match=sentence.format("none")), open_workers(address, [], Settings()):
        pass
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    (home / "token").write_text("abd")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "token"))
    with pytest.raises(SamInspectError, match=sentence.format("another one")), open_workers(address, [], Settings()):
        pass


def test_what_starts_here_leaves_no_token_behind_and_uses_the_one_that_is_there(home, opened, monkeypatch):
    monkeypatch.setattr(ray._private.services, "canonicalize_bootstrap_address", lambda named: None)
    address, variables = opened("auto")
    assert address is None
    assert len(variables["RAY_AUTH_TOKEN"]) == 64
    assert "RAY_AUTH_TOKEN" not in os.environ
    monkeypatch.setenv("RAY_AUTH_TOKEN", "abc")
    assert opened("auto") == (None, {"RAY_AUTH_TOKEN": "abc"})
    assert os.environ["RAY_AUTH_TOKEN"] == "abc"


def test_a_cluster_that_cannot_start_here_says_what_to_change():
    def init(address, **options):
        raise OSError("AF_UNIX path length")

    fake = SimpleNamespace(init=init, _private=SimpleNamespace(worker=SimpleNamespace()))
    named = r"^Ray cannot start on this machine \(AF_UNIX path length\)\. .* RAY_TMPDIR, or leave --cluster out\.$"
    with pytest.raises(SamInspectError, match=named):
        connection._connect(fake, None)
