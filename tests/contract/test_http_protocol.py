"""Clients that send half a request, or do not read: over real connections."""

import asyncio
import logging
import socket
import threading
from contextlib import closing, contextmanager, suppress

import pytest
import uvicorn

from sam_backend.service import http_protocol, log_tally
from sam_backend.service.http_protocol import limited_protocol
from sam_backend.service.server import listen
from sam_backend.settings import Settings
from services import make_app
from threshold_segmenter import ThresholdSegmenter
from waiting import PATIENCE, wait_for

WHOLE = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def listening(tmp_path, connections=100):
    """Serve; yield a function that opens a connection."""
    app = make_app(ThresholdSegmenter(), Settings(home=tmp_path / "home", cache=tmp_path / "cache"))
    config = uvicorn.Config(app, port=0, http=limited_protocol(connections), log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started and server.servers)
    address = server.servers[0].sockets[0].getsockname()
    try:
        yield lambda: socket.create_connection(address, timeout=PATIENCE)
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


@contextmanager
def served(tmp_path):
    """Serve on a socket as `sam-inspect serve` does; yield a connection and the server's socket of it."""
    app = make_app(ThresholdSegmenter(), Settings(home=tmp_path / "home", cache=tmp_path / "cache"))
    instance = uvicorn.Server(uvicorn.Config(app, http=limited_protocol(9), log_config=None, access_log=False))
    with listen("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=lambda: instance.run(sockets=[listening]), daemon=True)
        thread.start()
        try:
            with socket.create_connection(listening.getsockname(), timeout=PATIENCE) as client:
                connections = instance.server_state.connections
                wait_for(lambda: connections)
                (protocol,) = connections
                yield client, protocol.transport.get_extra_info("socket")
        finally:
            instance.should_exit = True
            thread.join(PATIENCE)


def test_an_answer_is_sent_at_once_not_when_the_client_acknowledged_its_beginning(tmp_path):
    with served(tmp_path) as (_, connection):
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Linux acknowledges on demand")
def test_headers_whose_body_did_not_come_are_acknowledged_at_once(tmp_path, monkeypatch):
    # Whether the acknowledgement was sent cannot be read; that another option was set can.
    monkeypatch.setattr(http_protocol, "_QUICK_ACK", socket.TCP_KEEPCNT)
    with served(tmp_path) as (client, connection):
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) != 1
        client.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        )
        wait_for(lambda: connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 1)


def is_closed(connection):
    """Wait for the end of a connection; what came before is dropped."""
    try:
        while connection.recv(2**16):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"GET",
        b"GET /health HTTP/1.1\r\nHost: x\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\n",
        # The second request of a connection.
        WHOLE + b"GET /health HTTP/1.1\r\n",
        # A body that nobody reads.
        b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123",
    ],
)
def test_half_a_request_is_dropped(tmp_path, monkeypatch, half):
    monkeypatch.setattr(http_protocol, "_HEAD_SECONDS", 0.2)
    with listening(tmp_path) as connect, closing(connect()) as client:
        client.sendall(half)
        assert is_closed(client)


def test_headers_that_drip_do_not_keep_a_connection(tmp_path, monkeypatch):
    monkeypatch.setattr(http_protocol, "_HEAD_SECONDS", 0.2)
    stopped = threading.Event()

    def drip():
        try:
            while not stopped.wait(0.02):
                client.sendall(b"a")
        except OSError:
            stopped.set()

    with listening(tmp_path) as connect, closing(connect()) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: ")
        dripping = threading.Thread(target=drip)
        dripping.start()
        dripping.join(PATIENCE)
        assert stopped.is_set()


def test_many_half_requests_neither_stop_the_server_nor_fill_its_log(tmp_path, caplog):
    with listening(tmp_path, connections=10) as connect:
        half = [connect() for _ in range(60)]
        for client in half:
            with suppress(OSError):
                client.sendall(b"GET /health HTTP/1.1\r\n")
        for _ in range(5):
            with closing(connect()) as honest:
                honest.sendall(WHOLE)
                assert honest.recv(2**16).startswith(b"HTTP/1.1 200")
        for client in half:
            client.close()
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) <= 2


def test_connections_beyond_the_limit_are_told_so_if_all_others_are_in_use(tmp_path):
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n"
    with listening(tmp_path, connections=3) as connect:
        busy = [connect() for _ in range(3)]
        for client in busy:
            client.sendall(head + b"Expect: 100-continue\r\n\r\n")
        for client in busy:
            # The route waits for the body.
            assert client.recv(2**16).startswith(b"HTTP/1.1 100")
        with closing(connect()) as one_more:
            refusal = one_more.recv(2**16)
        for client in busy:
            client.close()
    assert refusal.startswith(b"HTTP/1.1 503 The backend has too many open connections")
    assert b"Retry-After" in refusal


def test_what_is_not_http_has_one_log_line(tmp_path, caplog):
    with listening(tmp_path) as connect:
        for _ in range(5):
            with closing(connect()) as client:
                client.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
                assert client.recv(2**16).startswith(b"HTTP/1.1 400")
                assert is_closed(client)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "A client sent what is not HTTP."
    ]


def test_a_client_that_does_not_read_its_answer_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(http_protocol, "_READ_SECONDS", 0.2)

    def ask_and_never_read():
        while True:
            client.sendall(WHOLE.replace(b"/health", b"/metrics"))

    with listening(tmp_path) as connect, closing(connect()) as client, pytest.raises(OSError, match=r"reset|pipe"):
        ask_and_never_read()


def test_events_of_a_kind_have_a_line_and_then_their_number(caplog, monkeypatch):
    monkeypatch.setattr(log_tally, "_INTERVAL", 0)

    async def count():
        counts = log_tally.Tally(logging.getLogger("sam_backend.counted"))
        for _ in range(4):
            counts.add("Too late.")
        while counts._more:
            await asyncio.sleep(0)

    asyncio.run(count())
    assert caplog.messages == ["Too late.", "Too late. 3 times more in the last minute."]
