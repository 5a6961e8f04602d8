"""The command `serve`."""

from __future__ import annotations

import logging
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sam_backend.errors import SamInspectError
from sam_backend.log_format import LogFormat
from sam_inspect.options import FocusOption, ModelOption, PipelineOption, settings_of

logger = logging.getLogger(__name__)


class LogLevel(StrEnum):
    """The least important records that `serve` logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def serve(
    context: typer.Context,
    model: ModelOption = None,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; 127.0.0.1 keeps other machines out, 0.0.0.0 lets them in."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 9090,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="The weights instead of the promoted ones: the official .pth for sam:*, the folder of a training for "
            "nano."
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A host or network on a private address that images may be fetched from, for example 10.0.0.5:8080; "
            "may be given several times."
        ),
    ] = None,
    insecure_no_password: Annotated[
        bool,
        typer.Option("--insecure-no-password", help="Ask no password, on any address."),
    ] = False,
    focus: FocusOption = None,
    pipeline: PipelineOption = None,
    log_level: Annotated[
        LogLevel, typer.Option(help="From debug, which also logs health checks, to error.")
    ] = LogLevel.INFO,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(help="How the log is written: text for people, json for programs, one object a line."),
    ] = None,
) -> None:
    """Answer Label Studio's clicks and boxes with masks, until Ctrl-C.

    To connect it, open a project in Label Studio, then Settings, Model,
    Connect Model: URL http://<this machine>:9090, and switch "Interactive
    preannotations" on. A Label Studio on the same machine or in a private
    network refuses that address unless it runs with ML_BLOCK_LOCAL_IP=false
    and SSRF_PROTECTION_ENABLED=false.

    Settings stand in environment variables or in a settings file.
    SAM_INSPECT_BASIC_AUTH_USER and SAM_INSPECT_BASIC_AUTH_PASS ask for a
    password; --host with an address that other machines reach needs one.
    SAM_INSPECT_LABEL_STUDIO_API_KEY is a personal access token, for a Label
    Studio that does not accept the legacy token that it sends;
    SAM_INSPECT_LABEL_STUDIO_URL goes with it. SAM_INSPECT_WEIGHTS is the
    folder of official checkpoints.

    Examples: sam-inspect serve
              sam-inspect serve --model sam:vit_b --port 9091
              sam-inspect serve --host 0.0.0.0
    """
    from sam_backend.service.server import configure_logging
    from sam_backend.service.server import serve as serve_until_stopped

    # What libraries write for us is this user's alone, too.
    os.umask(0o077)
    # Settings that cannot be read do not say it.
    form = log_format or os.environ.get("SAM_INSPECT_LOG_FORMAT")
    try:
        settings = settings_of(context)
        if focus:
            settings = settings.model_copy(update={"focus": focus})
        if pipeline:
            settings = settings.model_copy(update={"pipeline": pipeline})
        if allow_host:
            allowed = " ".join([settings.allow_host or "", *allow_host])
            settings = settings.model_copy(update={"allow_host": allowed})
        if log_format:
            settings = settings.model_copy(update={"log_format": log_format})
        form = settings.log_format
        serve_until_stopped(
            model or settings.model,
            settings,
            host=host,
            port=port,
            log_level=log_level,
            checkpoint=checkpoint,
            no_password=insecure_no_password,
        )
    except Exception as error:
        if form != LogFormat.JSON:
            raise
        configure_logging(log_level, LogFormat.JSON)
        # Whoever reads this log parses each of its lines.
        is_mistake = isinstance(error, SamInspectError)
        logger.error("%s", error if is_mistake else repr(error), exc_info=not is_mistake)
        raise typer.Exit(1) from None
