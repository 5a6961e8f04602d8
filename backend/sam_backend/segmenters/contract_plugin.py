"""The option `--segmenter` of pytest: run the contract of segmenters, and nothing else, on one model."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sam_backend.segmenters.protocol import Segmenter


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.getgroup("sam-inspect").addoption(
        "--segmenter",
        metavar="PACKAGE:NAME",
        help="Run SAM Inspect's contract of segmenters on this class, or function that makes a segmenter.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Collect the contract instead of what was asked for, where the option is given."""
    if config.getoption("segmenter"):
        config.args = [str(Path(__file__).with_name("contract_tests.py"))]


def named_segmenter(name: str) -> Callable[[], Segmenter]:
    """Return the class or function of a name such as `mypackage.models:MySegmenter`.

    Raises
    ------
    pytest.UsageError
        If there is none.
    """
    module, _, attribute = name.partition(":")
    try:
        made: Callable[[], Segmenter] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise pytest.UsageError(f"--segmenter takes package.module:Name; {name!r} is not there: {error}") from error
    return made
