"""What to install where a package is missing that only an extra of the distribution brings."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from sam_backend.errors import MissingExtraError

EVALUATION = ("jinja2", "matplotlib", "pandas", "pyarrow", "skimage")
"""The modules that evaluations, reports and the promotion gate import."""

TRAINING = ("torch", "onnx")
"""The modules that fine-tuning imports."""


def how_to_install(extra: str) -> str:
    """Return the command that installs an extra: `pip install 'sam-inspect[torch]'`."""
    return f"pip install 'sam-inspect[{extra}]'"


def missing_modules(modules: Iterable[str]) -> tuple[str, ...]:
    """Return the top-level modules that are not installed; nothing is imported."""
    return tuple(module for module in modules if find_spec(module) is None)


def require(extra: str, modules: Iterable[str], user: str) -> None:
    """Check that the modules of an extra are installed.

    Parameters
    ----------
    extra : str, the extra that brings them, for example "evaluation".
    modules : iterable of str, top-level modules, for example `EVALUATION`.
    user : str, what needs them, for the message: "report".

    Raises
    ------
    MissingExtraError
        If a module is missing; the message names the command that installs it.
    """
    missing = missing_modules(modules)
    if missing:
        names = " and ".join(part for part in (", ".join(missing[:-1]), missing[-1]) if part)
        is_missing = "which is not installed" if len(missing) == 1 else "which are not installed"
        raise MissingExtraError(f"{user} needs {names}, {is_missing}; run {how_to_install(extra)}")
