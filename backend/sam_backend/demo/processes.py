"""Servers as child processes: started with a log file, ready when they answer, stopped with all their children."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from sam_backend.demo.demo_error import DemoError

_LOOPBACK = "127.0.0.1"
_GRACE = 10.0  # seconds between the signals that stop a server


def free_port(wanted: int, *, taken: Sequence[int] = ()) -> int:
    """Return `wanted`, or the next free port above it on this machine.

    Raises
    ------
    DemoError
        If none of the hundred ports from `wanted` is free.
    """
    for port in range(wanted, min(wanted + 100, 65536)):
        if port not in taken and _is_free(port):
            return port
    raise DemoError(f"All of the hundred ports from {wanted} are busy; choose another port.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As in uvicorn and Django: a port that was closed a moment ago counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError:
            return False
    return True


@contextmanager
def running(
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    is_ready: Callable[[], bool],
    timeout: float,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server: yield when it answers; stop it and all its children at the end of the block.

    Parameters
    ----------
    name : str, the server's name in messages.
    command : sequence of str, the program and its arguments.
    environment : mapping of str, all environment variables of the server.
    log : Path, the file for its output; it replaces that of the last run.
    is_ready : callable, returns whether the server answers.
    timeout : float, seconds in which the server must answer.

    Raises
    ------
    DemoError
        If the server ends early or does not answer in time; the message names the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C does not reach the server, and one signal reaches all its children
        )
    try:
        _await_ready(name, process, log=log, is_ready=is_ready, timeout=timeout)
        yield process
    finally:
        _stop(process)


def stay(servers: Mapping[str, subprocess.Popen[bytes]], logs: Path) -> NoReturn:
    """Wait until one of the servers ends by itself.

    Raises
    ------
    DemoError
        When a server ends; the message names it and the folder of the logs.
    """
    while True:
        for name, process in servers.items():
            if process.poll() is not None:
                raise DemoError(f"{name} stopped (exit code {process.returncode}); the logs are in {logs}")
        time.sleep(0.5)


def _await_ready(
    name: str, process: subprocess.Popen[bytes], *, log: Path, is_ready: Callable[[], bool], timeout: float
) -> None:
    deadline = time.monotonic() + timeout
    while not is_ready():
        if process.poll() is not None:
            raise DemoError(
                f"{name} stopped while it was starting (exit code {process.returncode}): {_last_line(log)} "
                f"The whole log is {log}"
            )
        if time.monotonic() > deadline:
            raise DemoError(f"{name} did not answer within {timeout:.0f} seconds; its log is {log}")
        time.sleep(0.2)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "It said nothing.")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
