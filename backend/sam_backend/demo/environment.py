"""A virtual environment for Label Studio, which cannot share ours because it pins other versions of NumPy and OpenCV.

This file uses the standard library only, so that the Makefile can run it before anything is installed:
`python3 backend/sam_backend/demo/environment.py FOLDER`.
"""

import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

REQUIREMENT = "label-studio==1.23.2"


class InstallError(Exception):
    """Label Studio could not be installed; the message is one sentence for the user."""


def executable(home: Path) -> Path:
    """Return the path of the command `label-studio` under `home`, whether it is installed or not."""
    return _folder(home) / "bin" / "label-studio"


def is_installed(home: Path) -> bool:
    """Return whether `install` has completed in `home` with the version that is pinned here."""
    marker = _marker(home)
    return marker.is_file() and marker.read_text() == REQUIREMENT and executable(home).is_file()


def install(home: Path, report: Callable[[str], None]) -> Path:
    """Install Label Studio under `home` if it is not installed there; an interrupted installation is continued.

    Parameters
    ----------
    home : Path, the folder that contains the environment; it is created if it is missing.
    report : callable, receives the output of the installation, one line at a time.

    Returns
    -------
    Path, the command `label-studio`.

    Raises
    ------
    InstallError
        If Python cannot create environments here, or pip fails.
    """
    if not is_installed(home):
        folder = _folder(home)
        python = folder / "bin" / "python"
        if not _runs([str(python), "-m", "pip", "--version"]):
            report("creating a virtual environment")
            shutil.rmtree(folder, ignore_errors=True)
            _run(
                [sys.executable, "-m", "venv", str(folder)],
                report,
                "Python cannot create a virtual environment here; on Debian, install python3-venv",
            )
        pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
        _run([*pip, REQUIREMENT], report, f"pip could not install {REQUIREMENT}")
        unfinished = folder / "installed.tmp"
        unfinished.write_text(REQUIREMENT)
        unfinished.replace(_marker(home))
    return executable(home)


def _folder(home: Path) -> Path:
    return home.absolute() / "label-studio-venv"


def _marker(home: Path) -> Path:
    return _folder(home) / "installed"


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _run(command: list[str], report: Callable[[str], None], failure: str) -> None:
    last: deque[str] = deque(maxlen=3)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            if text := line.strip():
                last.append(text)
                report(text)
    if process.returncode:
        raise InstallError(f"{failure}: {' '.join(last) or f'exit code {process.returncode}'}")


if __name__ == "__main__":
    try:
        install(Path(sys.argv[1]), lambda line: print(f"label-studio: {line[:150]}", flush=True))  # noqa: T201
    except InstallError as error:
        sys.exit(str(error))
