"""A real server to attack, and what is observed of it: its memory, and how fast it answers `/health` meanwhile."""

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

STARTING = 120
PROBE_EVERY = 0.05


class Target:
    """`sam-inspect serve` on the loopback interface, in a home of its own.

    Parameters
    ----------
    folder : Path for home, cache and log.
    **settings : str, further `SAM_INSPECT_*` variables, for example `max_body_mb="64"`.
    """

    def __init__(self, folder, **settings):
        folder.mkdir(parents=True)
        self.home = folder / "home"
        self.log = folder / "server.log"
        names = {"HOME": self.home, "CACHE": folder / "cache"} | {name.upper(): text for name, text in settings.items()}
        clean = {name: text for name, text in os.environ.items() if not name.startswith("SAM_INSPECT_")}
        self._environment = clean | {f"SAM_INSPECT_{name}": str(text) for name, text in names.items()}
        self.process = None
        self.port = 0

    def start(self):
        self.port = _free_port()
        command = [sys.executable, "-m", "sam_inspect", "serve", "--model", "nano", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        ends = time.monotonic() + STARTING
        while self.process.poll() is None and time.monotonic() < ends:
            try:
                # It answers before its model is loaded; unlike /health, this route needs no password.
                if b'"UP"' in self.ask("GET", "/", timeout=5)[1]:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise SystemExit(f"The server did not start; its log is {self.log}:\n{self.log.read_text()[-2000:]}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def ask(self, method, path, body=None, headers=None, timeout=120):
        """Send a request with a connection of its own; return status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.putrequest(method, path, skip_host=bool(headers and "Host" in headers))
            sent = {"Content-Type": "application/json"} | (headers or {})
            if body is not None:
                sent |= {"Content-Length": str(len(body))}
            for name, text in sent.items():
                connection.putheader(name, text)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def resident(self):
        """Return the bytes of memory that the process holds; 0 once it has ended."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")


class Watch:
    """The highest memory of a target and its slowest answer to `/health`, while the block runs."""

    def __init__(self, target):
        self._target = target
        self._over = threading.Event()
        self.before = target.resident()
        self.highest = self.before
        self.slowest = 0.0

    def __enter__(self):
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._probe, self._measure)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _measure(self):
        while not self._over.wait(0.01):
            self.highest = max(self.highest, self._target.resident())

    def _probe(self):
        while not self._over.wait(PROBE_EVERY):
            started = time.perf_counter()
            try:
                self._target.ask("GET", "/health", timeout=60)
            except OSError:
                if self._target.process.poll() is not None:
                    return
            self.slowest = max(self.slowest, time.perf_counter() - started)


@contextmanager
def running(folder, **settings):
    target = Target(folder, **settings)
    target.start()
    try:
        yield target
    finally:
        target.stop()


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
