"""Requests of others: which addresses they reach, how long they last, how large their answers may be."""

import gzip
import socket
import threading
import zlib

import pytest

from loopback import send, serving
from sam_backend.labelstudio import connections, transport
from sam_backend.labelstudio.addresses import Origin
from sam_backend.labelstudio.allowed_hosts import AllowedHosts
from sam_backend.labelstudio.connections import FetchDeadline, RefusedAddressError, TransportError, resolve
from sam_backend.labelstudio.http_bodies import read_body
from sam_backend.labelstudio.transport import AT_ONCE, HttpRequest, Transport, encoded

MIB = 2**20


@pytest.fixture
def server():
    with serving() as one:
        yield one


@pytest.fixture
def other():
    with serving() as one:
        yield one


def get(url, *, allow="127.0.0.1", own=None, credential=lambda url: None, seconds=5, max_bytes=MIB, via=None):
    request = HttpRequest(url, own, credential)
    return (via or Transport(AllowedHosts.parse(allow))).send(request, FetchDeadline(seconds), max_bytes)


def redirect(location, status=302):
    def answer(handler):
        handler.send_response(status)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def pretend(monkeypatch, *answers):
    """Let names have the given addresses, one list a question."""
    asked = []
    real = socket.getaddrinfo

    def getaddrinfo(host, port, *more, **options):
        if host[0].isdigit():
            return real(host, port, *more, **options)
        asked.append(host)
        addresses = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(connections.socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]"])
def test_an_address_of_this_machine_is_refused_however_it_is_written(server, host):
    with pytest.raises(RefusedAddressError, match="SAM_INSPECT_ALLOW_HOST="):
        get(f"http://{host}:{server.port}/x", allow="")
    assert server.requests == []


def test_a_name_is_checked_by_its_address_and_connected_to_that_very_address(server, monkeypatch):
    asked = pretend(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    server.routes["/x"] = b"image"
    assert get(f"http://images.example:{server.port}/x", allow="127.0.0.1").body == b"image"
    assert asked == ["images.example"]
    assert server.requests[0][0]["Host"] == f"images.example:{server.port}"
    with pytest.raises(RefusedAddressError):
        get(f"http://images.example:{server.port}/x", allow="127.0.0.1")


def test_of_several_addresses_only_the_allowed_are_tried(server, monkeypatch):
    pretend(monkeypatch, ["127.0.0.9", "127.0.0.1"])
    server.routes["/x"] = b"image"
    assert get(f"http://images.example:{server.port}/x").body == b"image"


def test_a_redirection_is_checked_like_a_first_address(server, other):
    server.routes["/x"] = redirect(f"http://localhost:{other.port}/secret")
    other.routes["/secret"] = b"secret"
    with pytest.raises(RefusedAddressError):
        get(f"{server.url}/x", allow=f"127.0.0.1:{server.port}")
    server.routes["/x"] = redirect("file:///etc/passwd")
    with pytest.raises(RefusedAddressError, match="not http"):
        get(f"{server.url}/x")
    assert other.requests == []


def test_the_projects_label_studio_may_be_on_this_machine_and_nothing_that_it_leads_to(server, other):
    server.routes |= {"/x": b"image", "/away": redirect(f"{other.url}/secret")}
    assert get(f"{server.url}/x", allow="", own=Origin.of(server.url)).body == b"image"
    with pytest.raises(RefusedAddressError):
        get(f"{server.url}/away", allow="", own=Origin.of(server.url))


def test_a_credential_goes_to_its_own_server_and_is_lost_by_leaving_it(server, other):
    own = Origin.of(server.url)
    server.routes |= {"/away": redirect(f"{other.url}/back"), "/x": b"", "/here": redirect("/x")}
    other.routes["/back"] = redirect(f"{server.url}/x")
    for path in ("/here", "/away"):
        get(f"{server.url}{path}", own=own, credential=lambda url: "Token secret")
    get(f"{server.url}/x", credential=lambda url: "Token secret")
    sent = [headers.get("Authorization") for headers, _, _ in server.requests]
    assert sent == ["Token secret"] * 3 + [None, None]
    assert "Authorization" not in other.requests[0][0]


def test_no_credential_of_the_environment_is_sent(server, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    for name in ("LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    server.routes["/x"] = b""
    get(f"{server.url}/x")
    assert "Authorization" not in server.requests[0][0]


def test_the_user_of_a_proxy_goes_to_the_proxy_alone(server, other, monkeypatch):
    monkeypatch.setenv("http_proxy", other.url.replace("://", "://user:secret@"))
    monkeypatch.setenv("no_proxy", "")
    address = f"http://127.0.0.1:{server.port}/x"
    other.routes[address] = b"by the proxy"
    assert get(address).body == b"by the proxy"
    assert other.requests[0][0]["Proxy-Authorization"].startswith("Basic ")
    with pytest.raises(RefusedAddressError):
        get(address, allow="")
    assert server.requests == []


def drip(text, released):
    def answer(handler):
        for byte in text:
            try:
                handler.wfile.write(bytes([byte]))
            except OSError:
                return
            if released.wait(0.02):
                return

    return answer


@pytest.mark.parametrize("text", [b"HTTP/1.1 200 OK\r\nX: " + b"x" * 4000, b"HTTP/1.1 100 Continue\r\n\r\n" * 300])
def test_headers_that_drip_end_with_the_deadline(server, text):
    server.routes["/x"] = drip(text, server.released)
    with pytest.raises(TransportError, match=r"did not come within 0\.3 s"):
        get(f"{server.url}/x", seconds=0.3)


def test_redirections_share_one_deadline(server):
    def slow(handler):
        server.released.wait(0.2)
        redirect("/x")(handler)

    server.routes["/x"] = slow
    with pytest.raises(TransportError, match=r"did not come within 0\.3 s"):
        get(f"{server.url}/x", seconds=0.3)


def test_a_handshake_that_never_ends_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TransportError, match="within"):
        get(f"https://127.0.0.1:{silent.getsockname()[1]}/x", seconds=0.3)


def test_a_name_that_is_looked_up_for_ever_is_given_up(monkeypatch):
    never = threading.Event()

    def wait(*_args, **_options):
        never.wait(5)
        return []

    monkeypatch.setattr(connections.socket, "getaddrinfo", wait)
    with pytest.raises(TransportError, match="within"):
        resolve("images.example", 80, FetchDeadline(0.1))
    never.set()


def test_one_slow_host_holds_a_bounded_number_of_requests_and_no_other_host(server, other):
    other.routes["/x"] = b"image"
    server.routes["/x"] = server.hang
    shared = Transport(AllowedHosts.parse("127.0.0.1"))

    def wait():
        with pytest.raises(TransportError):
            get(f"{server.url}/x", seconds=30, via=shared)

    threads = [threading.Thread(target=wait, daemon=True) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    while len(server.requests) < AT_ONCE:
        threading.Event().wait(0.01)
    with pytest.raises(TransportError, match=r"requests to 127\.0\.0\.1 are running"):
        get(f"{server.url}/x", seconds=0.4, via=shared)
    assert get(f"http://localhost:{other.port}/x", via=shared).body == b"image"
    assert len(server.requests) == AT_ONCE
    server.released.set()


def test_a_body_is_refused_by_its_length_before_it_is_read(server):
    server.routes["/x"] = lambda handler: send(handler, b"", length=10**15)
    with pytest.raises(TransportError, match="larger than 1 MiB"):
        get(f"{server.url}/x")


def read(body, coding="gzip", max_bytes=MIB):
    return read_body([body], {"content-encoding": coding}, FetchDeadline(5), max_bytes)


def test_an_encoded_body_is_bounded_after_decoding():
    bomb = gzip.compress(bytes(50 * MIB))
    with pytest.raises(TransportError, match="larger than 1 MiB"):
        read(bomb)
    assert read(gzip.compress(b"image")) == read(zlib.compress(b"image"), "deflate") == b"image"


@pytest.mark.parametrize(
    ("body", "coding", "reason"),
    [
        (b"", "br", "encoding 'br'"),
        (b"", "gzip, gzip", "encoding 'gzip, gzip'"),
        (b"no gzip", "gzip", "broken encoding"),
        (gzip.compress(bytes(1000))[:-9], "gzip", "broke off"),
    ],
    ids=["br", "two codings", "not gzip", "cut short"],
)
def test_a_body_that_cannot_be_decoded_is_refused(body, coding, reason):
    with pytest.raises(TransportError, match=reason):
        read(body, coding)


@pytest.mark.parametrize("status", [301, 302, 303, 307])
def test_what_was_to_be_written_is_not_written_elsewhere(server, other, status):
    server.routes["/x"] = redirect(f"{other.url}/x", status)
    request = HttpRequest(f"{server.url}/x", Origin.of(server.url), lambda url: "Token secret", "POST", b"{}")
    with pytest.raises(TransportError):
        Transport(AllowedHosts.parse("127.0.0.1")).send(request, FetchDeadline(5), MIB)
    assert other.requests == []


def test_an_address_is_encoded_once():
    url = "http://x/a b%20c%zz/ü?d=a b&e=%2F#part"
    assert encoded(url) == "http://x/a%20b%20c%25zz/%C3%BC?d=a%20b&e=%2F"
    assert encoded(encoded(url)) == encoded(url)


def test_a_server_that_is_not_there_is_named():
    with serving() as gone:
        url = gone.url
    with pytest.raises(TransportError, match="cannot be reached"):
        get(f"{url}/x")
    assert transport.MAX_REDIRECTS < 10


def test_a_credential_that_needs_a_request_of_its_own_does_not_wait_for_itself(server, monkeypatch):
    monkeypatch.setattr(transport, "AT_ONCE", 1)
    shared = Transport()
    own = Origin.of(server.url)
    server.routes |= {"/x": b"image", "/token": b"secret"}

    def credential(_url):
        return "Token " + get(f"{server.url}/token", own=own, via=shared).body.decode()

    assert get(f"{server.url}/x", own=own, credential=credential, via=shared).body == b"image"
    assert server.requests[1][0]["Authorization"] == "Token secret"


def test_a_redirection_that_cannot_be_read_is_refused(server):
    server.routes["/x"] = redirect("http://[")
    with pytest.raises(RefusedAddressError):
        get(f"{server.url}/x")
