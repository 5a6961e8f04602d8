"""The process that serves the application: its port, its log and its end."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import unquote

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from sam_backend.core.backend import assemble
from sam_backend.core.logs import quiet_libraries
from sam_backend.errors import SamInspectError
from sam_backend.segmenters.model_registry import model_info
from sam_backend.service.answers import ERROR_HEADER
from sam_backend.service.app import create_app
from sam_backend.service.metrics import Metrics
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)

_GRACE = 10
"""Seconds in which running requests must end after a signal."""


class AddressError(SamInspectError):
    """The service cannot listen on the given address."""


def serve(
    model: str, settings: Settings, *, host: str, port: int, log_level: str, checkpoint: Path | None = None
) -> None:
    """Serve until a signal ends it.

    Parameters
    ----------
    model : str, the model's name, for example "nano".
    settings : Settings, folders, limits and the password.
    host, port : str and int, the address to listen on; port 0 takes a free port.
    log_level : str, `debug`, `info`, `warning` or `error`.
    checkpoint : Path, the model's weights, as in `load_segmenter`; None for the promoted ones or those that ship.

    Raises
    ------
    SamInspectError
        If the model is unknown or cannot be loaded, or the port is taken.
    """
    model_info(model)
    _configure_logging(log_level)
    failures: list[BaseException] = []

    def give_up(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    metrics = Metrics()
    backend = assemble(model, settings, checkpoint=checkpoint, on_failure=give_up, observer=metrics)
    app = create_app(backend, settings, metrics)
    listening = _listen(host, port)
    config = uvicorn.Config(
        app, http=SentenceProtocol, ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE
    )
    server = _Server(config, backend.predictor.stop)
    shown_host = f"[{host}]" if ":" in host else host
    logger.info("Listening on http://%s:%d with model %s", shown_host, listening.getsockname()[1], model)
    with listening:
        server.run(sockets=[listening])
    if failures:
        raise failures[0]


class _Server(uvicorn.Server):
    """A server that calls `stop` at a signal, so that long requests end early."""

    def __init__(self, config: uvicorn.Config, stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop = stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._stop()
        super().handle_exit(sig, frame)


class SentenceProtocol(H11Protocol):
    """HTTP whose status line has an error's own sentence as the reason phrase, which Label Studio shows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _SentenceConnection(h11.SERVER)


class _SentenceConnection(h11.Connection):
    def send(self, event: h11.Event) -> bytes | None:  # type: ignore[override]  # overloads that differ in None only
        if isinstance(event, h11.Response):
            headers = event.headers.raw_items()
            sentence = next((value for name, value in headers if name.lower() == ERROR_HEADER), None)
            if sentence:
                event = h11.Response(
                    status_code=event.status_code,
                    headers=[item for item in headers if item[0].lower() != ERROR_HEADER],
                    reason=unquote(sentence).encode("latin-1"),
                )
        return super().send(event)


def _listen(host: str, port: int) -> socket.socket:
    """Bind the port before anything slow starts."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise AddressError(
            f"Cannot listen on {host}:{port} ({error.strerror or error}); end what uses it, or choose another --port "
            "or --host."
        ) from None


def _configure_logging(level: str) -> None:
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", force=True)
    quiet_libraries()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
