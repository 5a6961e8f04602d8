import os
import socket
import sys
import textwrap
import time

import pytest

from sam_backend.demo.demo_error import DemoError
from sam_backend.demo.processes import free_port, running, stay

# Starts a child of its own, writes both ids, and then sleeps as servers do.
FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(sys.argv[1] + ".part", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(600)
"""


def start(code, log, *arguments, is_ready=lambda: False, timeout=60):
    return running(
        "The server",
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        environment=os.environ,
        log=log,
        is_ready=is_ready,
        timeout=timeout,
    )


def test_a_busy_port_is_skipped():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert free_port(port) > port
    assert free_port(port) == port
    assert free_port(port, taken=[port]) > port


def test_a_server_ends_with_all_its_children(tmp_path):
    ids = tmp_path / "ids"
    with start(FAMILY, tmp_path / "log", str(ids), is_ready=ids.exists):
        family = [int(number) for number in ids.read_text().split()]
        assert all(is_running(number) for number in family)
    assert all_end(family)


def all_end(numbers):
    """Whether processes that were signalled are gone before long: a signal's effect is not immediate."""
    deadline = time.monotonic() + 60
    while any(is_running(number) for number in numbers):
        if time.monotonic() > deadline:
            return False
        os.sched_yield()
    return True


def is_running(number):
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_server_that_ends_early_is_reported_with_its_last_line(tmp_path):
    code = "print('one'); print('The disk is full.'); raise SystemExit(3)"
    raised = pytest.raises(DemoError, match=r"The server stopped .*\(exit code 3\): The disk is full\. .*log")
    with raised, start(code, tmp_path / "log"):
        pass


def test_waiting_ends_when_any_server_ends(tmp_path):
    with (
        start("import time; time.sleep(600)", tmp_path / "one", is_ready=lambda: True) as one,
        start("raise SystemExit(4)", tmp_path / "two", is_ready=lambda: True) as two,
        pytest.raises(DemoError, match=r"The other stopped \(exit code 4\)"),
    ):
        stay({"The one": one, "The other": two}, tmp_path)


def test_a_server_that_never_answers_is_stopped(tmp_path):
    ids = tmp_path / "ids"

    def is_ready():
        while not ids.exists():
            os.sched_yield()
        return False

    raised = pytest.raises(DemoError, match="did not answer within 0 seconds")
    with raised, start(FAMILY, tmp_path / "log", str(ids), is_ready=is_ready, timeout=0):
        pass
    assert all_end([int(number) for number in ids.read_text().split()])
