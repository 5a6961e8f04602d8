"""The highest memory of a piece of Python, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

_MEASURE = """
from pathlib import Path
def _kilobytes(key):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1])
{before}
_start = _kilobytes("VmRSS:")
{code}
print((_kilobytes("VmHWM:") - _start) * 1024)
"""


_TRIES = 3
"""The system may take idle pages from a process just before it is measured; they seem to be taken by the code then."""


def assert_peak(before: str, code: str, *, below: int) -> None:
    """Check how many bytes `code` takes at most beyond what `before`, its imports and inputs, has taken."""
    peaks = []
    while not peaks or (peaks[-1] >= below and len(peaks) < _TRIES):
        peaks.append(_peak_bytes(before, code))
    assert peaks[-1] < below, peaks


def _peak_bytes(before: str, code: str) -> int:
    if not Path("/proc/self/status").exists():
        pytest.skip("the highest memory of a process is read from /proc")
    script = _MEASURE.format(before=textwrap.dedent(before), code=textwrap.dedent(code))
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert not run.returncode, run.stderr
    return int(run.stdout)
