"""The process that serves the application: its port, its log and its end."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from sam_backend.core.logs import JsonFormatter, SafeFormatter, quiet_libraries
from sam_backend.errors import SamInspectError
from sam_backend.log_format import LogFormat
from sam_backend.service.authentication import has_password
from sam_backend.service.http_protocol import limited_protocol
from sam_backend.service.starting import StartingApp
from sam_backend.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

try:
    import resource
except ModuleNotFoundError:  # Windows has no such limit.
    resource = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

_GRACE = 10
"""Seconds in which running requests must end after a signal."""

_OTHER_FILES = 256
"""Files of the process that are no connections: images that are fetched, caches, libraries."""


class AddressError(SamInspectError):
    """The service cannot listen on the given address."""


def serve(
    model: str,
    settings: Settings,
    *,
    host: str,
    port: int,
    log_level: str,
    checkpoint: Path | None = None,
    no_password: bool = False,
) -> None:
    """Serve until a signal ends it.

    Parameters
    ----------
    model : str, the model's name, for example "nano".
    settings : Settings, folders, limits and the password.
    host, port : str and int, the address to listen on; port 0 takes a free port.
    log_level : str, `debug`, `info`, `warning` or `error`.
    checkpoint : Path, the model's weights, as in `load_segmenter`; None for the promoted ones or those that ship.
    no_password : bool, whether to listen to other machines without a password.

    Raises
    ------
    SamInspectError
        If the model is unknown or cannot be loaded, the port is taken, or other machines would need no password.
    """
    configure_logging(log_level, settings.log_format)
    if not (no_password or has_password(settings) or _is_loopback(host)):
        raise SamInspectError(
            f"On {host}, other machines can reach the backend, so it needs a password: set SAM_INSPECT_BASIC_AUTH_USER "
            "and SAM_INSPECT_BASIC_AUTH_PASS, listen on --host 127.0.0.1, or give --insecure-no-password."
        )
    failures: list[BaseException] = []
    # Clients of this machine reach its private addresses anyway; a password tells of others, behind a proxy.
    trusts_configs = _is_loopback(host) and not has_password(settings)

    def give_up(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    def load() -> FastAPI:
        # Imported here, so that the service listens before.
        from sam_backend.core.backend import assemble
        from sam_backend.segmenters.model_registry import model_info
        from sam_backend.service.app import create_app
        from sam_backend.service.metrics import Metrics
        from sam_backend.service.traces import traces_of_environment

        model_info(model)
        metrics = Metrics(traces_of_environment())
        backend = assemble(
            model,
            settings,
            checkpoint=checkpoint,
            on_failure=give_up,
            observer=metrics,
            trusts_configs=trusts_configs,
        )
        server.before_exit = backend.predictor.stop
        return create_app(backend, settings, metrics)

    app = StartingApp(model, settings, load, give_up)
    listening = listen(host, port)
    config = uvicorn.Config(
        app,
        http=limited_protocol(_possible_connections(settings.max_connections)),
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE,
    )
    server = _Server(config)
    shown_host = f"[{host}]" if ":" in host else host
    logger.info("Listening on http://%s:%d with model %s", shown_host, listening.getsockname()[1], model)
    with listening:
        server.run(sockets=[listening])
    if failures:
        raise failures[0]


class _Server(uvicorn.Server):
    """A server that calls `before_exit` at a signal, so that long requests end early."""

    before_exit: Callable[[], None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.before_exit:
            self.before_exit()
        super().handle_exit(sig, frame)


def _log_failed_thread(failed: threading.ExceptHookArgs) -> None:
    error = failed.exc_value or failed.exc_type()
    logger.error("The thread %s failed", failed.thread and failed.thread.name, exc_info=error)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _possible_connections(wanted: int) -> int:
    """Return the connections that can be open at once: each takes one of the process's files, which others need too."""
    if resource is None:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(min(wanted, soft - _OTHER_FILES), 1)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens, bound before anything slow starts.

    Raises
    ------
    AddressError
        If the port is taken or the address is not this machine's.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise AddressError(
            f"Cannot listen on {host}:{port} ({error.strerror or error}); end what uses it, or choose another --port "
            "or --host."
        ) from None


def configure_logging(level: str, form: LogFormat) -> None:
    """Write the log of this process to its standard error, from a level on, in a form."""
    handler = logging.StreamHandler()
    text = SafeFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if form is LogFormat.JSON else text)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # What Python would print itself is a line of the log as well.
    logging.captureWarnings(True)
    threading.excepthook = _log_failed_thread
    quiet_libraries()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
