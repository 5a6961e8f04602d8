"""How much CPU a start takes: `python tests/benchmarks/startup.py [--repeats 7] [--model nano]`.

Measures `sam-inspect --help` until it ends, and `sam-inspect serve` until `/health` answers: user and system time of
the process, which other work on the machine changes less than wall-clock time. Prints the minimum and the median.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

# ruff: noqa: E402 - the path comes first.
# The folder of this file would hide the package `click`.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console
from rich.table import Table

from sam_backend.demo.processes import free_port

AIMS = {"--help": 0.4, "serve": 1.0}
POLL = 0.01
PATIENCE = 120
TICKS = os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="starts per kind (default: 7)")
    parser.add_argument("--model", default="nano", help="what sam-inspect serve --model takes (default: nano)")
    options = parser.parse_args()
    seconds = {
        "--help": [help_seconds() for _ in range(options.repeats)],
        "serve": [serve_seconds(options.model) for _ in range(options.repeats)],
    }
    table = Table("", "starts", "minimum [s]", "median [s]", "aim [s]", title="CPU time of a start")
    for name, values in seconds.items():
        table.add_row(
            f"sam-inspect {name}",
            str(len(values)),
            f"{min(values):.2f}",
            f"{statistics.median(values):.2f}",
            f"{AIMS[name]}",
        )
    Console().print(table)


def help_seconds():
    """Return the CPU seconds of `sam-inspect --help`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "sam_inspect", "--help"], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def serve_seconds(model):
    """Return the CPU seconds of `sam-inspect serve` until `/health` answers."""
    port = free_port(19390)
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"SAM_INSPECT_HOME": f"{folder}/home", "SAM_INSPECT_CACHE": f"{folder}/cache"}
        command = [sys.executable, "-m", "sam_inspect", "serve", "--model", model, "--host", "127.0.0.1"]
        process = subprocess.Popen([*command, "--port", str(port)], env=environment, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + PATIENCE
            while not answers(f"http://127.0.0.1:{port}/health"):
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit("The service did not start.")
                time.sleep(POLL)
            return cpu_seconds(process.pid)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def cpu_seconds(process):
    """Return the user and system seconds of a running process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE):
            return True
    except urllib.error.URLError:
        return False


if __name__ == "__main__":
    main()
