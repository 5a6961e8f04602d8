"""What to install where a package is missing that only an extra of the distribution brings."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from sam_backend.errors import MissingExtraError

EVALUATION = ("jinja2", "matplotlib", "pandas", "pyarrow", "skimage")
"""The packages, by their import names, of evaluations, reports and the promotion gate."""

TORCH = ("torch", "torchvision", "segment_anything")
"""The packages of the official checkpoints and of every training."""

TRANSFORMERS = ("torch", "torchvision", "timm", "transformers")
"""The packages of the models on the Hugging Face Hub."""

VIDEO = ("av",)
"""The package that reads and writes videos."""

RAY = ("ray", "grpc")
"""The packages of a cluster's workers, and of Ray Client."""


def how_to_install(*extras: str) -> str:
    """Return the command that installs extras: `pip install 'sam-inspect[torch]'`."""
    return f"pip install 'sam-inspect[{','.join(extras)}]'"


def missing_packages(packages: Iterable[str]) -> tuple[str, ...]:
    """Return those of some packages, given by their import names, that are not installed; nothing is imported."""
    return tuple(package for package in packages if find_spec(package) is None)


def require(packages: Iterable[str], user: str, install: str) -> None:
    """Check that packages are installed.

    Parameters
    ----------
    packages : iterable of str, import names, for example `EVALUATION`.
    user : str, what needs them, for the message, for example "report".
    install : str, the command that installs them, for example `how_to_install("evaluation")`.

    Raises
    ------
    MissingExtraError
        If a package is missing; the message names the command that installs it.
    """
    if missing := missing_packages(packages):
        names = " and ".join(part for part in (", ".join(missing[:-1]), missing[-1]) if part)
        raise MissingExtraError(f"{user} needs {names}, not installed here; run {install}")


def require_evaluation(user: str) -> None:
    """Check that the extra `evaluation` is installed, as `require` does."""
    require(EVALUATION, user, how_to_install("evaluation"))


def require_training(user: str) -> None:
    """Check that the extras that a training needs are installed: `torch`, and `evaluation` for the gate."""
    require(TORCH, user, how_to_install("evaluation", "torch"))
    require_evaluation(user)
