"""Marks for tests that need an extra of the distribution."""

from importlib.util import find_spec

import pytest

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="the torch extra is not installed")
