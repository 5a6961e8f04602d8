"""What work elsewhere depends on, without a cluster."""

import faulthandler
import os
import pickle
import signal
from types import SimpleNamespace

import pytest

from sam_backend.cluster import connection
from sam_backend.cluster.connection import open_workers
from sam_backend.cluster.sizes import Node, WorkerSize, worker_size
from sam_backend.cluster.work import THIS_PROCESS
from sam_backend.errors import BadRequestError, MissingExtraError, SamInspectError
from sam_backend.settings import Settings
from told_work import Squares


def test_without_a_cluster_this_process_works_when_a_result_is_asked_for():
    taken = []
    with open_workers(None, [], Settings()) as workers:
        results = workers.map(Squares(), (taken.append(number) or number for number in range(3)))
        assert next(results) == (0, os.getpid(), 0)
    assert taken == [0]
    assert [number for number, *_ in THIS_PROCESS.map(Squares(), range(5))] == [0, 2, 4, 6, 8]


def test_work_travels_as_what_makes_it():
    made = pickle.loads(pickle.dumps(Squares().elsewhere()))(3)
    assert (made(4)[0], made.threads) == (8, 3)


@pytest.mark.parametrize(
    ("nodes", "uses_gpu", "cores", "size"),
    [
        ([Node(8), Node(4)], True, 1, WorkerSize(1, 0, 12)),
        ([Node(8), Node(4)], False, 8, WorkerSize(8, 0, 1)),
        ([Node(2), Node(2)], False, 8, WorkerSize(2, 0, 2)),
        ([Node(64, 8), Node(12, 4)], True, 1, WorkerSize(3, 1, 12)),
        ([Node(2, 4)], True, 1, WorkerSize(1, 1, 2)),
        ([Node(0, 1), Node(4)], True, 2, WorkerSize(2, 0, 2)),
        ([], False, 1, WorkerSize(1, 0, 1)),
    ],
    ids=["no GPU", "large", "smaller machines", "GPUs", "more GPUs than cores", "GPU without a core", "nothing yet"],
)
def test_a_worker_has_a_gpu_or_so_many_cores(nodes, uses_gpu, cores, size):
    assert worker_size(nodes, uses_gpu=uses_gpu, cores=cores) == size


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("ray://127.0.0.1:1", r"No Ray cluster answers at ray://127.0.0.1:1 \(Connection refused\)"),
        ("127.0.0.1:1", r"No Ray cluster answers at 127.0.0.1:1 \(Connection refused\)"),
        ("here", "A cluster is auto, ray://host:10001 or host:6379; got 'here'."),
        ("", "A cluster is auto, ray://host:10001 or host:6379; got ''."),
        ("ray://host:99999", "A cluster is auto, "),
    ],
)
def test_a_cluster_that_is_not_there_is_one_sentence_at_once(address, sentence):
    with pytest.raises(SamInspectError, match=sentence), open_workers(address, [], Settings()):
        pass


def test_an_address_in_the_environment_is_that_of_auto(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "nonsense")
    with pytest.raises(BadRequestError, match="got 'nonsense'"), open_workers("auto", [], Settings()):
        pass


def test_a_client_whose_process_ended_at_once_is_given_another_one():
    tries = []

    def init(address, **options):
        tries.append(address)
        if len(tries) == 1:
            raise ConnectionAbortedError("Starting Ray client server failed.")

    ray = SimpleNamespace(init=init, shutdown=lambda: None, _private=SimpleNamespace(worker=SimpleNamespace()))
    connection._connect(ray, "ray://head:10001")
    assert tries == ["ray://head:10001"] * 2


def test_a_signal_that_ends_the_command_goes_to_the_handler_of_python(tmp_path):
    came, before = [], signal.getsignal(signal.SIGTERM)

    def init(address, **options):
        signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
        # Ray's own, which prints, is below that of Python too.
        faulthandler.register(signal.SIGTERM, printed)

    ray = SimpleNamespace(init=init, _private=SimpleNamespace(worker=SimpleNamespace()))
    with (tmp_path / "printed").open("w") as printed:
        try:
            connection._connect(ray, None)
            signal.raise_signal(signal.SIGTERM)
        finally:
            faulthandler.unregister(signal.SIGTERM)
            signal.signal(signal.SIGTERM, before)
    assert came == [signal.SIGTERM]


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("sam_backend.extras.find_spec", lambda name: None)
    with (
        pytest.raises(MissingExtraError, match=r"--cluster needs ray and grpc, .* pip install 'sam-inspect\[ray\]'"),
        open_workers("auto", [], Settings()),
    ):
        pass
