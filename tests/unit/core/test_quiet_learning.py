import pytest

from sam_backend.core import learner as module
from sam_backend.core.learner import Learner


@pytest.fixture
def clock(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    return clock


def waited(clock, monkeypatch, requests):
    """Return for how long a learner waits while requests come at given seconds."""
    learner = Learner(None, None, None, None)
    start, coming = clock[0], [clock[0] + seconds for seconds in requests]

    def wait(seconds):
        clock[0] += seconds
        learner._asked = max([learner._asked, *(at for at in coming if at <= clock[0])])

    learner._asked = coming[0]
    monkeypatch.setattr(learner._changed, "wait", wait)
    learner._wait_for_quiet()
    return clock[0] - start


def test_a_long_fit_waits_until_no_request_came_for_some_seconds(clock, monkeypatch):
    assert waited(clock, monkeypatch, [0]) == module._QUIET
    assert waited(clock, monkeypatch, [0, 2, 4]) == 4 + module._QUIET
    assert waited(clock, monkeypatch, [-10]) == 0


def test_it_does_not_wait_for_ever(clock, monkeypatch):
    assert waited(clock, monkeypatch, range(0, 1000, 2)) == module._PATIENCE
