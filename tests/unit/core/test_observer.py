"""Stages of the work: each second is counted once, with the request that it was for."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context

import pytest

from sam_backend.core import observer as observer_module
from sam_backend.core.observer import Observer, RequestNotes, Stage, current_notes, noting


class Recorder(Observer):
    def __init__(self):
        self.ended = []

    def stage_ended(self, stage, seconds, notes):
        self.ended.append((stage, seconds, notes))


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [0.0]
    monkeypatch.setattr(observer_module.time, "perf_counter", lambda: now[0])
    return now


def test_the_time_of_a_stage_inside_another_counts_once(clock):
    recorder, notes = Recorder(), RequestNotes()
    with noting(notes), recorder.stage(Stage.EMBEDDING_CACHE):
        clock[0] += 1
        with recorder.stage(Stage.FETCH_IMAGE):
            clock[0] += 10
        with recorder.stage(Stage.EMBEDDING), recorder.stage(Stage.WAIT_FOR_DEVICE):
            clock[0] += 100
        clock[0] += 2
    assert notes.stages == {
        Stage.EMBEDDING_CACHE: 3,
        Stage.FETCH_IMAGE: 10,
        Stage.EMBEDDING: 0,
        Stage.WAIT_FOR_DEVICE: 100,
    }
    assert recorder.ended[-1] == (Stage.EMBEDDING_CACHE, 3, notes)


def test_a_stage_that_comes_again_is_added_and_a_failed_one_counts(clock):
    recorder, notes = Recorder(), RequestNotes()
    with noting(notes):
        with recorder.stage(Stage.DECODE_MASK):
            clock[0] += 1
        with suppress(ValueError), recorder.stage(Stage.DECODE_MASK):
            clock[0] += 2
            raise ValueError
    assert notes.stages == {Stage.DECODE_MASK: 3}


def test_notes_follow_the_work_into_a_thread_and_no_further():
    notes = RequestNotes(id="a")
    with ThreadPoolExecutor(1) as threads:
        with noting(notes):
            assert threads.submit(copy_context().run, current_notes).result() is notes
        assert threads.submit(current_notes).result() is None
    assert current_notes() is None
