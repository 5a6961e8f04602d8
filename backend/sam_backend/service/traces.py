"""A span for each request and each of its stages, sent by OTLP where OpenTelemetry's own variables say so."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.types import Scope

from sam_backend.core.observer import RequestNotes
from sam_backend.extras import how_to_install
from sam_backend.labelstudio.addresses import Origin
from sam_backend.safe_text import safe_line

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

logger = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP = "http/protobuf"
_LAST_SECONDS = 3.0
"""Seconds at the end of the process in which the last spans are sent."""

_MOST = 200
"""Letters of a text in a span."""


class Traces:
    """Makes the spans of requests.

    Parameters
    ----------
    provider : TracerProvider of OpenTelemetry, sends the spans.
    """

    def __init__(self, provider: TracerProvider) -> None:
        # Imported late, because they are of an extra.
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._api = trace
        self._tracer = provider.get_tracer("sam_inspect")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, scope: Scope, notes: RequestNotes) -> Iterator[Span]:
        """Give a request a span, below that of the header `traceparent`; the notes get the trace's id."""
        parent = self._propagator.extract(Headers(scope=scope))
        attributes = {"http.request.method": scope["method"], "url.path": safe_line(scope["path"])[:_MOST]}
        with self._tracer.start_as_current_span(
            scope["method"], parent, self._api.SpanKind.SERVER, attributes, record_exception=False
        ) as span:
            notes.trace = self._api.format_trace_id(span.get_span_context().trace_id)
            yield span

    def answered(self, span: Span, method: str, route: str, status: int, notes: RequestNotes) -> None:
        """Write into a request's span how it was answered."""
        span.update_name(f"{method} {route}")
        span.set_attributes({"http.route": route, "http.response.status_code": status})
        names = ("id", "project", "task", "prompt", "page", "image", "model")
        told = {f"sam_inspect.{name}": safe_line(getattr(notes, name))[:_MOST] for name in names}
        span.set_attributes({name: value for name, value in told.items() if value})
        if status >= 500:
            span.set_status(self._api.StatusCode.ERROR, safe_line(notes.error))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Give a stage of a request a span; what no request waits for gets none."""
        if not self._api.get_current_span().get_span_context().is_valid:
            yield
            return
        with self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as span:
            try:
                yield
            except BaseException as error:
                span.set_status(self._api.StatusCode.ERROR, safe_line(f"{type(error).__name__}: {error}")[:_MOST])
                raise

    def stop(self) -> None:
        """Send the last spans, for some seconds at most."""
        # A collector that does not answer would keep the process for as long as the exporter tries.
        last = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        last.start()
        last.join(_LAST_SECONDS)


def traces_of_environment() -> Traces | None:
    """Return what sends spans to the address in `OTEL_EXPORTER_OTLP_ENDPOINT`; None without, or after a warning."""
    variable = next((name for name in _ENDPOINTS if os.environ.get(name)), None)
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if variable is None or off or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    if Origin.of(os.environ[variable]) is None:
        logger.warning(
            "%s is %s, so no traces are sent; the form is http://collector:4318.",
            variable,
            repr(safe_line(os.environ[variable])),
        )
        return None
    protocol = next((value for name in _PROTOCOLS if (value := os.environ.get(name))), _HTTP)
    if protocol != _HTTP:
        logger.warning("%s is set, but spans are sent by %s, not by %s; none are sent.", variable, _HTTP, protocol)
        return None
    # It quotes a header that it cannot read, which may be a token.
    logging.getLogger("opentelemetry.util.re").addFilter(_without_values)
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        provider = _provider(OTLPSpanExporter())
    except ModuleNotFoundError as error:
        install = how_to_install("tracing")
        logger.warning(
            "%s is set, but %s is not installed, so no traces are sent; run %s", variable, error.name, install
        )
        return None
    except ValueError as error:
        logger.warning("A variable of OpenTelemetry is wrong, so no traces are sent: %s", error)
        return None
    logger.info("Traces are sent to %s", safe_line(os.environ[variable]))
    return Traces(provider)


def _without_values(record: logging.LogRecord) -> bool:
    record.args = ("***",) if record.args else ()
    return True


def _provider(exporter: SpanExporter) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
    from opentelemetry.sdk.trace.export import SpanExporter as Exporter

    class Told(Exporter):
        """Sends spans, and says once that they do not arrive, and once that they do again."""

        works = True

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = exporter.export(spans)
            works = result is SpanExportResult.SUCCESS
            if works != self.works:
                self.works = works
                if works:
                    logger.info("Traces arrive again.")
                else:
                    logger.warning("Traces do not arrive at their collector, and are lost until it answers.")
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

    # Its own line for every attempt would fill the log.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    provider = TracerProvider(
        resource=Resource.create({} if named else {"service.name": "sam-inspect"}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(Told()))
    return provider
