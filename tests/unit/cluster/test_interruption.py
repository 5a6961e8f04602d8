"""Ctrl-C is noted where it comes and raised where it is safe."""

import signal

import pytest

from sam_backend.cluster.interruption import noted_interruption


class _Deleted:
    """What Python raises in here is lost."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


def _interrupted(seen):
    with noted_interruption() as came:
        _Deleted()
        seen.append(came.is_set())


def test_no_interruption_gets_lost_in_what_swallows_it():
    seen = []
    with pytest.raises(KeyboardInterrupt):
        _interrupted(seen)
    assert seen == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _interrupted_twice(seen):
    with noted_interruption():
        signal.raise_signal(signal.SIGINT)
        seen.append("first")
        signal.raise_signal(signal.SIGINT)
        seen.append("second")


def test_the_second_one_acts_at_once():
    seen = []
    with pytest.raises(KeyboardInterrupt):
        _interrupted_twice(seen)
    assert seen == ["first"]


def test_without_one_nothing_happens():
    with noted_interruption() as came:
        assert not came.is_set()
