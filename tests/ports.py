"""Ports of tests that run at the same time on one machine."""

import os

from sam_backend.demo.processes import free_port


def own_port(wanted: int) -> int:
    """Return a free port above `wanted`, others for each process of tests: a port is bound only later."""
    return free_port(wanted + os.getpid() % 97 * 100)
