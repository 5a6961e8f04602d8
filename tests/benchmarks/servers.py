"""The servers that are measured: `sam-inspect serve`, and the common pattern with the same weights (`rival.py`)."""

import os
import re
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

PATIENCE = 120
PACKAGES = ("backend", "evaluation", "cli")
"""The folders of a checkout that hold its packages."""
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A running server: its address and its process."""

    url: str
    pid: int

    def cpu_seconds(self):
        """Return the CPU seconds that it took, threads that have ended included, in steps of a hundredth."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_mib(self, name="VmRSS"):
        """Return the memory that it holds; with "VmHWM" the highest since its start."""
        return int(re.search(rf"{name}:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())[1]) / 1024

    def handles(self):
        """Return the number of its open files."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def threads(self):
        """Return the number of its threads."""
        return len(os.listdir(f"/proc/{self.pid}/task"))


@contextmanager
def service(model, checkout=None, **settings):
    """Run `sam-inspect serve`, perhaps of another checkout, with empty folders; yield it once its model is loaded."""
    with tempfile.TemporaryDirectory() as folder:
        own = {"SAM_INSPECT_ALLOW_HOST": "127.0.0.1", "SAM_INSPECT_HOME": f"{folder}/home"}
        # Downloaded checkpoints are in the user's cache.
        own |= {} if model.startswith("sam:") else {"SAM_INSPECT_CACHE": f"{folder}/cache"}
        own |= {f"SAM_INSPECT_{name.upper()}": str(value) for name, value in settings.items()}
        if checkout:
            own["PYTHONPATH"] = os.pathsep.join(str(checkout.resolve() / part) for part in PACKAGES)
        command = [sys.executable, "-m", "sam_inspect", "serve", "--model", model, "--host", "127.0.0.1", "--port", "0"]
        with _running(command, folder, own, "is ready") as server:
            yield server


@contextmanager
def rival(*options):
    """Run the common pattern, with options of `rival.py`; yield it once it listens."""
    command = [sys.executable, str(Path(__file__).with_name("rival.py")), *options]
    with tempfile.TemporaryDirectory() as folder, _running(command, folder, {}, "Running on") as server:
        yield server


@contextmanager
def _running(command, folder, own, ready):
    process = subprocess.Popen(
        command, env=os.environ | own, cwd=folder, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        url, line = "", ""
        for line in process.stderr:
            address = re.search(r"http://127\.0\.0\.1:\d+", line)
            url = address[0] if address else url
            if ready in line:
                break
        else:
            sys.exit(f"The server did not start: {line}")
        # A full pipe would stop it.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        while not requests.get(f"{url}/health", timeout=PATIENCE).ok:
            pass
        yield Server(url, process.pid)
    finally:
        process.terminate()
        process.wait(PATIENCE)
