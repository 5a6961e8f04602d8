"""Servers as child processes: started with a log file, awaited until they answer, stopped with all their children."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from sam_backend.demo.errors import DemoError

_LOOPBACK = "127.0.0.1"
_GRACE = 10.0


def free_port(wanted: int, *, taken: Sequence[int] = ()) -> int:
    """Return `wanted`, or the next port above it on which nothing listens on this machine.

    Raises
    ------
    DemoError
        If none of the hundred ports from `wanted` on is free.
    """
    for port in range(wanted, min(wanted + 100, 65536)):
        if port not in taken and _is_free(port):
            return port
    raise DemoError(f"A port from {wanted} on is needed, and the hundred from there are all busy; name another one.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # What uvicorn and Django do, too: a port that was closed a moment ago counts as free.
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
    patience: float,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server: yield once it answers, stop it and all that it started on the way out.

    Parameters
    ----------
    name : what a sentence calls it.
    log : file that takes its output; the last run's is replaced.
    is_ready : whether it answers.
    patience : seconds it has to become ready.

    Raises
    ------
    DemoError
        If it ends early or does not answer in time; the sentence names the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C is for us, and one signal reaches all its children
        )
    try:
        _await_ready(name, process, log=log, is_ready=is_ready, patience=patience)
        yield process
    finally:
        _stop(process)


def stay(servers: Mapping[str, subprocess.Popen[bytes]], logs: Path) -> NoReturn:
    """Wait until one of several servers ends by itself.

    Raises
    ------
    DemoError
        Then; it names the server and the folder of the logs.
    """
    while True:
        for name, process in servers.items():
            if process.poll() is not None:
                raise DemoError(f"{name} stopped (exit code {process.returncode}); the logs are in {logs}")
        time.sleep(0.5)


def _await_ready(
    name: str, process: subprocess.Popen[bytes], *, log: Path, is_ready: Callable[[], bool], patience: float
) -> None:
    deadline = time.monotonic() + patience
    while not is_ready():
        if process.poll() is not None:
            raise DemoError(
                f"{name} stopped while it was starting (exit code {process.returncode}): {_last_line(log)} "
                f"The whole log is {log}"
            )
        if time.monotonic() > deadline:
            raise DemoError(f"{name} did not answer within {patience:.0f} seconds; its log is {log}")
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
