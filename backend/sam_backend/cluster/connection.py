"""Connects to the Ray cluster that a user names, or starts one on this machine."""

from __future__ import annotations

import os
import re
import socket
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sam_backend.cluster.sizes import Node, worker_size
from sam_backend.cluster.work import THIS_PROCESS, Workers
from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.extras import RAY, how_to_install, require
from sam_backend.segmenters.model_info import ModelInfo
from sam_backend.settings import Settings

AUTO = "auto"

_ADDRESS = re.compile(r"(?:ray://)?(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:/\s\[\]]+)):(?P<port>\d{1,5})")
_ANSWER = 5.0
"""Seconds within which a cluster must answer; Ray itself tries for half a minute, or for five."""

_CLIENT = "ray://"

_QUESTIONS = {True: "/ray.rpc.RayletDriver/ClusterInfo", False: "/ray.rpc.NodeInfoGcsService/CheckAlive"}
"""What Ray Client and a cluster itself are asked, to find out whether they are there; the answer does not matter."""

_LARGE = 8
"""Cores of a worker with a large model, whose copy takes gigabytes."""

_NO_STATISTICS = "RAY_USAGE_STATS_ENABLED"


@contextmanager
def open_workers(address: str | None, infos: Sequence[ModelInfo], settings: Settings) -> Iterator[Workers]:
    """Yield the workers of a cluster; without an address, this process.

    Parameters
    ----------
    address : str, `auto`, `ray://host:10001`, or `host:6379` of a cluster that this machine belongs to; or None. `auto`
        is what `RAY_ADDRESS` names, else the cluster that runs here, else one of this machine that ends with the block.
    infos : ModelInfo, the models that will be used.
    settings : Settings, for `worker_cores`.

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    BadRequestError
        If it is no address.
    SamInspectError
        If no cluster answers there.
    """
    if address is None:
        yield THIS_PROCESS
        return
    require(RAY, "--cluster", how_to_install("ray"))
    named = os.environ.get("RAY_ADDRESS", "") if address == AUTO else address
    if address != AUTO or named not in ("", AUTO):
        _check_reachable(named)
    # Else Ray sends statistics to its makers.
    os.environ.setdefault(_NO_STATISTICS, "0")
    import ray
    from ray import cloudpickle

    from sam_backend.cluster import actor
    from sam_backend.cluster.ray_workers import RayWorkers

    _connect(ray, "" if named == AUTO else named)
    try:
        # A worker without sam-inspect gets this module nevertheless, and says what it lacks.
        cloudpickle.register_pickle_by_value(actor)
        uses_gpu = any(map(_uses_gpu, infos))
        cores = settings.worker_cores or (_LARGE if any(info.is_heavy for info in infos) else 1)
        yield RayWorkers(worker_size(_nodes(ray), uses_gpu=uses_gpu, cores=cores))
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    parts = _ADDRESS.fullmatch(address)
    if parts is None or int(parts["port"]) > 65535:
        raise BadRequestError(f"A cluster is auto, ray://host:10001 or host:6379; got {address!r}.")
    try:
        socket.create_connection((parts["v6"] or parts["host"], int(parts["port"])), _ANSWER).close()
    except OSError as error:
        raise _no_cluster(address, error.strerror or str(error)) from None
    # Such a cluster wants a certificate first.
    if "RAY_USE_TLS" not in os.environ:
        _check_answers(address)


def _check_answers(address: str) -> None:
    import grpc

    is_client = address.startswith(_CLIENT)
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(address.removeprefix(_CLIENT), options) as channel:
        try:
            channel.unary_unary(_QUESTIONS[is_client])(b"", timeout=_ANSWER)
        except grpc.RpcError as error:
            codes = grpc.StatusCode
            if error.code() in (codes.UNIMPLEMENTED, codes.UNAVAILABLE, codes.DEADLINE_EXCEEDED):
                raise _no_cluster(
                    address, f"what listens there is not {'Ray Client' if is_client else 'the head of a cluster'}"
                ) from None


def _no_cluster(address: str, reason: str) -> SamInspectError:
    return SamInspectError(
        f"No Ray cluster answers at {address} ({reason}). A machine of the cluster names it host:6379, any other "
        "ray://host:10001; ray start --head starts one."
    )


def _connect(ray: Any, address: str) -> None:
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if not address:
        options["include_dashboard"] = False
    # No option keeps Ray from printing the log of a machine that is lost.
    ray._private.worker._worker_logs_enabled = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                ray.init(address or None, **options)
            except ConnectionAbortedError:
                # Now and then, the process that the head starts for a client ends at once (seen with gRPC 1.85).
                ray.shutdown()
                ray.init(address, **options)
    # Ray raises errors of many kinds, and ends the process where the head stops answering.
    except (Exception, SystemExit) as error:
        raise _no_cluster(address or AUTO, " ".join(str(error).split())[:300]) from None


def _nodes(ray: Any) -> list[Node]:
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(int(one.get("CPU", 0)), int(one.get("GPU", 0))) for one in alive]


def _uses_gpu(info: ModelInfo) -> bool:
    """Return whether a model computes on a GPU where there is one; workers have the packages of this machine."""
    from sam_backend.segmenters.onnx_sessions import execution_providers

    return "torch" in info.packages or execution_providers()[0] in ("CUDA", "Tensorrt")
