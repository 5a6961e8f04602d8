import threading

import pytest

from sam_backend.core.slots import Slots
from sam_backend.deadlines import AbandonedError, Deadline, within
from waiting import wait_for


def test_a_slot_is_given_in_the_order_of_the_queue():
    slots, order, threads = Slots(1), [], []

    def work(number):
        with slots:
            order.append(number)

    with slots:
        for number in range(5):
            threads.append(threading.Thread(target=work, args=(number,)))
            threads[-1].start()
            wait_for(lambda count=number + 1: len(slots._waiting) == count)
    for thread in threads:
        thread.join(30)
    assert order == [0, 1, 2, 3, 4]


def test_a_request_that_is_over_leaves_the_queue_and_takes_no_slot():
    slots, deadline = Slots(1), Deadline(60)
    with slots:
        deadline.cancel()
        with within(deadline), pytest.raises(AbandonedError, match="has gone"), slots:
            pytest.fail("it has no slot")
    with slots:
        assert not slots._free


def test_a_request_whose_deadline_passes_while_it_waits_leaves_the_queue():
    slots = Slots(1)
    with slots, within(Deadline(0.01)), pytest.raises(AbandonedError, match=r"0\.01 s"), slots:
        pytest.fail("it has no slot")
    assert slots._free == 1
    assert not slots._waiting
