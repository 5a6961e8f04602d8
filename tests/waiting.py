"""Waiting for what becomes true by itself."""

import time

PATIENCE = 60


def wait_for(condition):
    """Return what a condition gives as soon as it is true; fail where it is not within a minute."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, "the condition did not become true"
        time.sleep(0.02)
    return found
