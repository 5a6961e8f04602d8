import pytest

from ray_nodes import two_nodes
from sam_backend.demo.processes import free_port


@pytest.fixture(scope="session")
def nodes(moto):
    with two_nodes(free_port(20001)) as cluster:
        yield cluster
