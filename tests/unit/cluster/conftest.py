import signal

import pytest

from ray_nodes import two_nodes
from sam_backend.demo.processes import free_port


@pytest.fixture(scope="session")
def nodes(moto):
    with two_nodes(free_port(20001)) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def _interruptible():
    """Ctrl-C counts, also where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
