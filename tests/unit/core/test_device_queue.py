import threading

import pytest

from sam_backend.core.device_queue import DeviceQueue, Rank, current_job
from sam_backend.deadlines import AbandonedError, Deadline, within
from waiting import wait_for


class Workers:
    """Threads that enter a queue one after the other, and note in which order they get a slot."""

    def __init__(self, queue):
        self.queue = queue
        self.order = []
        self.threads = []
        self.go_on = threading.Event()

    def start(self, rank, name, *, until_told=False):
        waiting = len(self.queue.state().waiting) + len(self.queue.state().running)
        self.threads.append(threading.Thread(target=self._work, args=(rank, name, until_told)))
        self.threads[-1].start()
        wait_for(lambda: len(self.queue.state().waiting) + len(self.queue.state().running) == waiting + 1)

    def _work(self, rank, name, until_told):
        with self.queue.job(rank, name), self.queue:
            self.order.append(name)
            if until_told:
                assert self.go_on.wait(30)

    def join(self):
        self.go_on.set()
        for thread in self.threads:
            thread.join(30)


@pytest.fixture
def workers():
    made = []

    def make(queue):
        made.append(Workers(queue))
        return made[-1]

    yield make
    for each in made:
        each.join()


def test_clicks_are_served_before_batches_and_each_in_the_order_of_its_coming(workers):
    queue = DeviceQueue(1)
    work = workers(queue)
    with queue:
        for name in ("batch 1", "click 1", "batch 2", "click 2"):
            work.start(Rank[name.partition(" ")[0].upper()], name)
        assert queue.state().waiting == ["click 1", "click 2", "batch 1", "batch 2"]
    work.join()
    assert work.order == ["click 1", "click 2", "batch 1", "batch 2"]


def test_batches_leave_a_slot_for_a_click(workers):
    queue = DeviceQueue(2)
    work = workers(queue)
    work.start(Rank.BATCH, "first", until_told=True)
    work.start(Rank.BATCH, "second", until_told=True)
    with queue.job(Rank.CLICK, "click"), queue:
        assert work.order == ["first"]
        assert [doing for doing, _ in queue.state().running] == ["first", "click"]


def test_background_work_pauses_while_a_request_is_under_way(workers, monkeypatch):
    monkeypatch.setattr("sam_backend.core.device_queue._PATIENCE", 60)
    queue, order = DeviceQueue(4), []

    def prefetch():
        with queue.job(Rank.BACKGROUND, "prefetch"), queue:
            order.append("prefetch")

    with queue.job(Rank.CLICK, "a click that waits for its image"):
        thread = threading.Thread(target=prefetch)
        thread.start()
        wait_for(lambda: queue._requests[Rank.BACKGROUND])
        with queue:
            order.append("click")
    thread.join(30)
    assert order == ["click", "prefetch"]


def test_background_work_never_starves(monkeypatch):
    monkeypatch.setattr("sam_backend.core.device_queue._PATIENCE", 0.01)
    queue, done = DeviceQueue(2), []

    def prefetch():
        with queue.job(Rank.BACKGROUND, "prefetch"), queue.begun(), queue:
            done.append(1)

    with queue.job(Rank.CLICK, "a click without end"):
        thread = threading.Thread(target=prefetch)
        thread.start()
        thread.join(30)
    assert done


def test_background_work_that_has_begun_does_not_wait_for_a_click_that_waits_for_it(monkeypatch):
    monkeypatch.setattr("sam_backend.core.device_queue._PATIENCE", 60)
    queue, begun, clicked = DeviceQueue(1), threading.Event(), threading.Event()

    def prefetch():
        with queue.job(Rank.BACKGROUND, "prefetch"), queue.begun():
            begun.set()
            assert clicked.wait(30)
            with queue:
                pass

    thread = threading.Thread(target=prefetch)
    thread.start()
    assert begun.wait(30)
    with queue.job(Rank.CLICK, "click on the same image"):
        clicked.set()
        thread.join(30)
        assert not thread.is_alive()


def test_a_job_ends_with_its_block():
    queue, before = DeviceQueue(1), current_job()
    with queue.job(Rank.CLICK, "click"):
        assert current_job().doing == "click"
    assert current_job() == before


def test_a_request_that_is_over_leaves_the_queue_and_takes_no_slot():
    queue, deadline = DeviceQueue(1), Deadline(60)
    deadline.cancel()
    with within(deadline), pytest.raises(AbandonedError, match="has gone"), queue:
        pytest.fail("it has no slot")
    with queue:
        assert len(queue.state().running) == 1


def test_a_request_whose_deadline_passes_while_it_waits_leaves_the_queue():
    queue, errors = DeviceQueue(1), []

    def late():
        try:
            with within(Deadline(0.01)), queue:
                pytest.fail("it has no slot")
        except AbandonedError as error:
            errors.append(str(error))

    with queue:
        thread = threading.Thread(target=late)
        thread.start()
        thread.join(30)
        assert "0.01 s" in errors[0]
        assert queue.state().waiting == []
    assert queue.state().running == []
