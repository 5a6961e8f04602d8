"""What one worker of a cluster gets, and how many workers there is room for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """A machine of a cluster: its cores and its GPUs, as far as the cluster may use them."""

    cores: int
    gpus: int = 0


@dataclass(frozen=True)
class WorkerSize:
    """What each of `workers` workers gets: `cores`, which are its threads too, and `gpus`, 0 or 1."""

    cores: int
    gpus: int
    workers: int


def worker_size(nodes: Sequence[Node], *, uses_gpu: bool, cores: int) -> WorkerSize:
    """Return one worker for each GPU, or for each `cores` cores where no GPU is used.

    The cores of a machine with GPUs are shared among its GPUs. There is at least one worker, which then waits until
    the cluster has room.

    Parameters
    ----------
    nodes : the machines of the cluster.
    uses_gpu : bool, whether the model computes on a GPU where there is one.
    cores : int, wanted for each worker without a GPU; fewer where the largest machine has fewer.

    Examples
    --------
    >>> worker_size([Node(64, 8), Node(16)], uses_gpu=True, cores=1)
    WorkerSize(cores=8, gpus=1, workers=8)
    >>> worker_size([Node(64, 8), Node(16)], uses_gpu=False, cores=4)
    WorkerSize(cores=4, gpus=0, workers=20)
    """
    if uses_gpu and (with_gpus := [node for node in nodes if node.gpus and node.cores]):
        each = max(min(node.cores // node.gpus for node in with_gpus), 1)
        return WorkerSize(each, 1, sum(min(node.gpus, node.cores // each) for node in with_gpus))
    each = max(min(cores, max((node.cores for node in nodes), default=1)), 1)
    return WorkerSize(each, 0, max(sum(node.cores // each for node in nodes), 1))
