"""Checks of this machine: packages, GPU, memory, disk, folders."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from sam_backend.doctor.findings import Check, Outcome
from sam_backend.errors import SamInspectError
from sam_backend.files import make_folder
from sam_backend.segmenters import ModelInfo
from sam_backend.segmenters.onnx_sessions import execution_providers
from sam_backend.settings import Settings

PACKAGE = "sam-inspect"
_FOR_DEVELOPMENT = ("dev", "train")
"""The extras that users do not install."""

_GB = 1e9
_MEMORY, _HEAVY_MEMORY = 2.0, 6.0
"""Gigabytes that a service takes with small models and with heavy ones (docs/performance.md)."""
_DISK, _LEAST_DISK = 5.0, 0.2
"""Gigabytes that the caches want, and below which nothing can be kept."""
_NVIDIA = Path("/proc/driver/nvidia/version")

Found = Iterator[tuple[Outcome, str, str]]


def machine_checks(settings: Settings, info: ModelInfo) -> list[Check]:
    """Return the checks of this machine for a model; none of them needs another one."""
    return [
        Check("packages", _packages),
        Check("extras", lambda: _extras(info)),
        Check("processor", lambda: _processor(info)),
        Check("memory", lambda: _memory(info)),
        Check("home folder", lambda: _folder(settings.home, "SAM_INSPECT_HOME")),
        Check("cache folder", lambda: _folder(settings.cache, "SAM_INSPECT_CACHE")),
    ]


def _packages() -> Found:
    wrong = _unmet("")
    if wrong:
        yield Outcome.FAILED, f"Some packages do not fit: {'; '.join(wrong)}.", f"pip install --upgrade {PACKAGE}"
    else:
        yield (
            Outcome.OK,
            f"{PACKAGE} {_version(PACKAGE)} on Python {platform.python_version()}, {platform.system()} "
            f"{platform.machine()}; all packages fit.",
            "",
        )


def _extras(info: ModelInfo) -> Found:
    extras = sorted({*(metadata(PACKAGE).get_all("Provides-Extra") or ())} - {*_FOR_DEVELOPMENT})
    there = [extra for extra in extras if not _unmet(extra)]
    missing = [extra for extra in extras if extra not in there]
    if info.missing_packages:
        yield Outcome.FAILED, f"{info.name} needs {', '.join(info.missing_packages)}.", info.install
        return
    found = f"installed: {', '.join(there) or 'none'}" + (f"; not installed: {', '.join(missing)}" if missing else "")
    yield Outcome.OK, f"Extras {found}; {info.name} needs no more.", ""


def _unmet(extra: str) -> list[str]:
    """Return what is installed in another version than the base install, or an extra, needs, or not at all."""
    wrong = []
    for line in requires(PACKAGE) or ():
        requirement = Requirement(line)
        marker = requirement.marker
        base = marker is None or marker.evaluate({"extra": ""})
        if base if not extra else (marker is not None and marker.evaluate({"extra": extra}) and not base):
            has = _version(requirement.name)
            if not has:
                wrong.append(f"{requirement} is not installed")
            elif not requirement.specifier.contains(has, prereleases=True):
                wrong.append(f"{requirement.name} {has} is installed, {requirement} is needed")
    return wrong


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _processor(info: ModelInfo) -> Found:
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    providers = execution_providers()
    gpus = [name for name in providers if name not in ("CPU", "OpenVINO")]
    has_card = _NVIDIA.exists() or shutil.which("nvidia-smi") is not None
    uses_torch = "torch" in info.packages
    if uses_torch and not info.missing_packages:
        import torch

        if torch.cuda.is_available():
            yield Outcome.OK, f"{info.name} computes on {torch.cuda.get_device_name(0)}; {cores} cores.", ""
            return
    elif gpus:
        yield Outcome.OK, f"onnxruntime offers {', '.join(gpus)}; {cores} cores.", ""
        return
    if has_card:
        cure = (
            "Install a PyTorch for the CUDA of the driver, see pytorch.org."
            if uses_torch
            else "pip uninstall onnxruntime, then pip install onnxruntime-gpu"
        )
        yield Outcome.WARNING, f"There is an NVIDIA GPU, but {info.name} computes on the CPU ({cores} cores).", cure
    elif info.is_heavy:
        yield (
            Outcome.WARNING,
            f"There is no GPU; on {cores} cores {info.name} takes seconds for an image.",
            "Serve a smaller model, such as nano, or run on a machine with a GPU.",
        )
    else:
        yield Outcome.OK, f"No GPU; {cores} cores.", ""


def _memory(info: ModelInfo) -> Found:
    free, wanted = free_memory() / _GB, _HEAVY_MEMORY if info.is_heavy else _MEMORY
    found = f"{free:.1f} GB of memory are free; {info.name} wants {wanted:g} GB."
    if free < wanted:
        cure = "Stop other programs, serve a smaller model, or set SAM_INSPECT_EMBEDDING_MEMORY_MB lower."
        yield Outcome.WARNING, found, cure
    else:
        yield Outcome.OK, found, ""


def free_memory() -> float:
    """Return the bytes of memory that this process may still take, within the limit of its container."""
    free = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"))
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text(encoding="ascii") for name in ("max", "current"))
        free = min(free, float(limit) - float(used))
    except (OSError, ValueError):
        # No container, or one without a limit ("max").
        pass
    return free


def _folder(folder: Path, setting: str) -> Found:
    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"written")
    except (OSError, SamInspectError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        yield Outcome.FAILED, f"{folder} cannot be written: {reason}.", f"Give this user the folder, or set {setting}."
        return
    free = shutil.disk_usage(folder).free / _GB
    found = f"{folder} can be written; {free:.1f} GB are free."
    if free < _DISK:
        outcome = Outcome.FAILED if free < _LEAST_DISK else Outcome.WARNING
        yield outcome, found, f"Make room there, or set {setting} to a folder on another disk."
    else:
        yield Outcome.OK, found, ""
