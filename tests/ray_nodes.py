"""A Ray cluster of two machines on this one, of which one can be lost; only one such cluster at a time."""

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

_NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}


class TwoNodes:
    def __init__(self, client_port):
        # `ray://` is answered by the first one.
        self._cluster = Cluster(initialize_head=True, head_node_args={**_NODE, "ray_client_server_port": client_port})
        self._second = self._cluster.add_node(**_NODE)
        self._cluster.wait_for_nodes()
        self.address = self._cluster.address
        self.client_address = f"ray://127.0.0.1:{client_port}"

    def lose_one(self):
        """Kill the second machine with all its processes, if there is one."""
        if self._second:
            raylet = self._second.all_processes["raylet"][0].process.pid
            # Ray's workers would end a second later by themselves, and finish what they have begun.
            for worker in Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split():
                os.kill(int(worker), signal.SIGKILL)
            self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = None

    def replace(self):
        """Bring the second machine back."""
        if not self._second:
            self._second = self._cluster.add_node(**_NODE)


@contextmanager
def two_nodes(client_port):
    with pytest.MonkeyPatch.context() as patch:
        # Workers import what the tests import.
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        nodes = TwoNodes(client_port)
        try:
            yield nodes
        finally:
            ray.shutdown()
            nodes._cluster.shutdown()
