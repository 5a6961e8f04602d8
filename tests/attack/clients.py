"""Slow clients, clients that hang up, and strangers: those without a password and those who use others' rights."""

import json
import selectors
import time

from label_studio_requests import click, interactive

DEADLINE = 30
"""Seconds after which a server should have dropped requests that stop half way."""

HALF = b'POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"tasks":'
HEADERS = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: "


def half_sent(target, count):
    """Open connections whose requests stop half way; return those that the server has closed in the end."""
    sockets = []
    for number in range(count):
        try:
            connection = target.connect()
            connection.sendall(HALF if number % 2 else HEADERS)
        except OSError:
            continue
        sockets.append(connection)
    opened = len(sockets)
    ends = time.monotonic() + DEADLINE
    with selectors.DefaultSelector() as selector:
        for connection in sockets:
            selector.register(connection, selectors.EVENT_READ)
        while selector.get_map() and time.monotonic() < ends:
            for key, _ in selector.select(1):
                if _is_over(key.fileobj):
                    selector.unregister(key.fileobj)
        still_open = len(selector.get_map())
    for connection in sockets:
        connection.close()
    return opened - still_open + (count - opened)


def dripping(target, seconds):
    """Send a body byte by byte, one a second; return whether the server gave up before `seconds`."""
    connection = target.connect()
    connection.sendall(HALF)
    try:
        for _ in range(seconds):
            time.sleep(1)
            connection.sendall(b" ")
            connection.settimeout(0.01)
            try:
                if not connection.recv(4096):
                    return True
                return True
            except TimeoutError:
                continue
    except OSError:
        return True
    finally:
        connection.close()
    return False


def hang_up(target, count):
    """Send clicks and close the connection before the answer."""
    body = json.dumps(interactive(click(25, 15))).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    for _ in range(count):
        connection = target.connect()
        connection.sendall(head.encode() + body)
        connection.close()


def strangers(target, label_studio, password):
    """Yield a name, the expected outcome and whether it came true, for each thing that a stranger may try.

    Parameters
    ----------
    target : Target that asks for a password.
    label_studio : Loopback, the Label Studio that a project is connected to; it records what it was asked.
    password : str, the `Authorization` header that the server takes.
    """
    json_type = {"Content-Type": "application/json"}
    known = {"project": "7.1", "hostname": label_studio.url, "access_token": "victim-token"}
    mine = {"Authorization": password} | json_type
    body = json.dumps(known).encode()
    for path in ("/setup", "/predict", "/webhook", "/metrics", "/health", "/status", "/versions", "/validate"):
        for host in ({}, {"Host": "x/?"}, {"Host": "localhost/?/"}):
            status, _ = target.ask("POST", path, b"{}", json_type | host)
            yield (
                f"POST {path} without a password{' and with a forged Host' if host else ''}",
                status in (400, 401, 405),
            )
    assert target.ask("POST", "/setup", body, mine)[0] == 200
    elsewhere = json.dumps(known | {"hostname": "http://127.0.0.1:9", "access_token": "other"}).encode()
    yield "a known project is moved to another host", target.ask("POST", "/setup", elsewhere, mine)[0] >= 400
    yield "a form of another site", target.ask("POST", "/setup", body, mine | {"Content-Type": "text/plain"})[0] == 415
    for address in (
        "http://127.0.0.1:22/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:127.0.0.1]:22/",
        "http://0x7f000001/",
        "/data/upload/../../api/users",
        "/data/upload/%2e%2e/%2e%2e/api/users",
        "/data/upload/..;/..;/api/users",
        "/data/local-files/?d=../../../etc/passwd",
        "s3://bucket/../../api/users",
        "file:///etc/passwd",
        "gopher://127.0.0.1:22/_x",
    ):
        label_studio.requests.clear()
        message = interactive(click(25, 15), image=address, project="7.1", number="../../api/users")
        status, _ = target.ask("POST", "/predict", json.dumps(message).encode(), mine)
        reached = [path for path in label_studio.paths() if path.startswith("/api/users")]
        yield f"an image at {address}", status >= 400 and not reached


def _is_over(connection):
    try:
        return not connection.recv(4096)
    except OSError:
        return True
