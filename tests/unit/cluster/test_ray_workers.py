"""Workers on two machines, of which one is lost on the way."""

import os
import signal
from dataclasses import replace
from itertools import count, islice, takewhile

import pytest

from loopback import serving
from sam_backend.cluster import actor
from sam_backend.cluster import ray_workers as module
from sam_backend.cluster.connection import open_workers
from sam_backend.cluster.sizes import WorkerSize
from sam_backend.errors import BadRequestError, SamInspectError, StoreError
from sam_backend.settings import Settings
from told_work import Squares

pytestmark = pytest.mark.slow


@pytest.fixture(params=["address", "client_address"])
def workers(request, nodes):
    nodes.replace()
    with open_workers(getattr(nodes, request.param), [], Settings()) as opened:
        yield opened


def test_results_come_in_order_and_once_whatever_is_lost(workers, nodes, caplog):
    processes, threads_of_workers, taken = set(), set(), []

    def items():
        """Go on until both machines have worked, one is lost, and this is noticed."""
        numbers = count()
        yield from takewhile(lambda _: len(processes) < 2, numbers)
        nodes.lose_one()
        yield from takewhile(lambda _: "A worker is lost; the others go on" not in caplog.text, numbers)
        yield from islice(numbers, 50)

    doubles = []
    for double, process, threads in workers.map(Squares(), (taken.append(number) or number for number in items())):
        doubles.append(double)
        processes.add(process)
        threads_of_workers.add(threads)
    assert doubles == [2 * number for number in taken]
    assert os.getpid() not in processes
    assert threads_of_workers == {1}


def test_what_a_worker_logs_and_what_it_refuses_is_heard_here(workers, caplog):
    results = list(workers.map(Squares(), [1, "warn", "refuse"]))
    assert "It is late." in caplog.messages
    assert isinstance(results[2], BadRequestError)
    with pytest.raises(SamInspectError, match=r"^What is raised ends everything.$"):
        list(workers.map(Squares(), [1, "raise"]))
    with pytest.raises(StoreError, match=r"^On the worker \S+: s3://a/b cannot be used"):
        list(workers.map(Squares(), ["no key"]))
    with pytest.raises(TypeError) as raised:
        list(workers.map(Squares(), [None]))
    # Where on the worker it happened.
    assert "told_work.py" in str(raised.value.__cause__)


def test_no_room_is_said_and_nothing_to_do_starts_nobody(workers, monkeypatch):
    assert list(replace(workers, size=WorkerSize(1000, 0, 1)).map(Squares(), [])) == []

    def heard(sentence):
        raise KeyboardInterrupt(sentence)

    monkeypatch.setattr(module.logger, "warning", heard)
    monkeypatch.setattr(module, "_PATIENCE", 0)
    with pytest.raises(KeyboardInterrupt, match="The cluster has no room for a worker yet"):
        list(replace(workers, size=WorkerSize(1000, 0, 1)).map(Squares(), [1]))


def test_workers_that_end_as_they_start_matter_only_where_no_other_works(workers, tmp_path, caplog):
    def items():
        yield from takewhile(lambda _: caplog.text.count("A worker ended while it started") < 5, count())

    results = list(workers.map(Squares(tmp_path / "started"), items()))
    assert "A worker is lost" not in caplog.text
    assert [double for double, *_ in results] == [2 * number for number in range(len(results))]
    with pytest.raises(SamInspectError, match="4 workers ended while they started"):
        list(workers.map(Squares(tmp_path / "gone" / "nobody"), [1]))


def test_an_item_that_ends_its_worker_again_and_again_is_named(workers):
    named = "4 workers ended one after the other at end the process, perhaps because memory"
    with pytest.raises(SamInspectError, match=named):
        list(workers.map(Squares(), [1, "end the process"]))


def test_a_worker_that_is_not_as_it_should_be_says_what_to_do(workers, monkeypatch):
    with pytest.raises(SamInspectError, match="cannot work: The weights are missing; put them into the folder weights"):
        list(workers.map(Squares(is_ready=False), [1]))
    monkeypatch.setattr("sam_backend.cluster.ray_workers.version", lambda name: "9.9")
    with pytest.raises(SamInspectError, match=r"has \S+ of sam-inspect, this machine has 9\.9; install"):
        list(workers.map(Squares(), [1]))
    # This module travels, so a worker without sam-inspect can say that.
    monkeypatch.setattr(actor, "DISTRIBUTION", "nobody-has-this")
    with pytest.raises(SamInspectError, match=r"has none of nobody-has-this, this machine has 9\.9"):
        list(workers.map(Squares(), [1]))


def test_the_port_of_something_else_is_one_sentence_at_once(nodes):
    cluster, client = nodes.address, nodes.client_address.removeprefix("ray://")
    with serving() as server:
        for address, other in (
            (f"ray://{cluster}", "Ray Client"),
            (client, "the head of a cluster"),
            (f"ray://127.0.0.1:{server.port}", "Ray Client"),
            (f"127.0.0.1:{server.port}", "the head of a cluster"),
        ):
            with (
                pytest.raises(SamInspectError, match=rf"{address} \(what listens there is not {other}\)\. A machine"),
                open_workers(address, [], Settings()),
            ):
                pass


def test_an_interruption_between_two_results_ends_the_workers(workers):
    results = workers.map(Squares(), range(40))
    next(results)
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        list(results)
    closed = workers.map(Squares(), [1])
    next(closed)
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        closed.close()
