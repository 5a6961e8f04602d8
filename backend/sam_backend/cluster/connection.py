"""Connects to the Ray cluster that a user names, or starts one on this machine."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sam_backend.cluster.sizes import Node, worker_size
from sam_backend.cluster.tokens import AUTHORIZED, NO_TOKEN, of_own_cluster, token_here, told
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
        If no cluster answers there, or none can start here, or if it wants a token that this machine does not have.
    """
    if address is None:
        yield THIS_PROCESS
        return
    require(RAY, "--cluster", how_to_install("ray"))
    if address == AUTO and os.environ.get("RAY_ADDRESS") not in (None, "", AUTO):
        address = os.environ["RAY_ADDRESS"]
    variables = {} if address == AUTO else _variables_for(address)
    # Else Ray sends statistics to its makers.
    os.environ.setdefault(_NO_STATISTICS, "0")
    import ray
    from ray import cloudpickle

    from sam_backend.cluster import actor
    from sam_backend.cluster.ray_workers import RayWorkers

    if address == AUTO:
        address = _running(ray)
        variables = _variables_for(address) if address else of_own_cluster()
    with told(ray, variables):
        _connect(ray, address)
        try:
            # A worker without sam-inspect gets this module nevertheless, and says what it lacks.
            cloudpickle.register_pickle_by_value(actor)
            uses_gpu = any(map(_uses_gpu, infos))
            cores = settings.worker_cores or (_LARGE if any(info.is_heavy for info in infos) else 1)
            yield RayWorkers(worker_size(_nodes(ray), uses_gpu=uses_gpu, cores=cores))
        finally:
            ray.shutdown()


def _variables_for(address: str) -> dict[str, str]:
    """Return what Ray must find in the environment to work with a cluster; raise unless it answers."""
    parts = _ADDRESS.fullmatch(address)
    if parts is None or int(parts["port"]) > 65535:
        raise BadRequestError(f"A cluster is auto, ray://host:10001 or host:6379; got {address!r}.")
    try:
        socket.create_connection((parts["v6"] or parts["host"], int(parts["port"])), _ANSWER).close()
    except OSError as error:
        raise _no_cluster(address, error.strerror or str(error)) from None
    # Such a cluster wants a certificate first.
    if "RAY_USE_TLS" in os.environ:
        return {}
    if not _wants_token(address, ""):
        return NO_TOKEN
    token = token_here()
    if not token or _wants_token(address, token):
        raise SamInspectError(
            f"The Ray cluster at {address} wants its token, and this machine has {'another one' if token else 'none'}; "
            "put what its head has in ~/.ray/auth_token into the same file here, or into RAY_AUTH_TOKEN."
        )
    return AUTHORIZED


def _wants_token(address: str, token: str) -> bool:
    """Return whether what listens there refuses this token; "" is none."""
    import grpc

    is_client = address.startswith(_CLIENT)
    options = [("grpc.enable_http_proxy", 0)]
    metadata = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(address.removeprefix(_CLIENT), options) as channel:
        try:
            channel.unary_unary(_QUESTIONS[is_client])(b"", timeout=_ANSWER, metadata=metadata)
        except grpc.RpcError as error:
            codes = grpc.StatusCode
            if error.code() in (codes.UNIMPLEMENTED, codes.UNAVAILABLE, codes.DEADLINE_EXCEEDED):
                raise _no_cluster(
                    address, f"what listens there is not {'Ray Client' if is_client else 'the head of a cluster'}"
                ) from None
            return bool(error.code() is codes.UNAUTHENTICATED)
    return False


def _running(ray: Any) -> str | None:
    """Return the address of the cluster that runs on this machine."""
    try:
        address: str | None = ray._private.services.canonicalize_bootstrap_address(None)
    except ConnectionError as error:
        raise _no_cluster(AUTO, str(error)) from None
    return address


def _no_cluster(address: str, reason: str) -> SamInspectError:
    return SamInspectError(
        f"No Ray cluster answers at {address} ({reason}). A machine of the cluster names it host:6379, any other "
        "ray://host:10001; ray start --head starts one."
    )


def _connect(ray: Any, address: str | None) -> None:
    """Connect to a cluster, or start one on this machine, which ends with the connection."""
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if not address:
        options["include_dashboard"] = False
    # No option keeps Ray from printing the log of a machine that is lost.
    ray._private.worker._worker_logs_enabled = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                ray.init(address, **options)
            except ConnectionAbortedError:
                # Now and then, the process that the head starts for a client ends at once (seen with gRPC 1.85).
                ray.shutdown()
                ray.init(address, **options)
    # Ray raises errors of many kinds, and ends the process where the head stops answering.
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())[:300]
        if address:
            raise _no_cluster(address, reason) from None
        raise SamInspectError(
            f"Ray cannot start on this machine ({reason}). Its files need a folder with a short path in which you may "
            "write: name one with RAY_TMPDIR, or leave --cluster out."
        ) from None
    # Below this handler, Ray has put one that prints where in memory the process was.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))


def _nodes(ray: Any) -> list[Node]:
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(int(one.get("CPU", 0)), int(one.get("GPU", 0))) for one in alive]


def _uses_gpu(info: ModelInfo) -> bool:
    """Return whether a model computes on a GPU where there is one; workers have the packages of this machine."""
    from sam_backend.segmenters.onnx_sessions import execution_providers

    return "torch" in info.packages or execution_providers()[0] in ("CUDA", "Tensorrt")
