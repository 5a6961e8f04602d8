"""Spans of requests and their stages, in memory and at a real receiver of OTLP."""

import builtins
import logging
import threading
from contextlib import suppress

import pytest
from fastapi.testclient import TestClient

from label_studio_requests import click, data_url, interactive
from loopback import serving
from sam_backend.core.backend import assemble
from sam_backend.core.observer import RequestNotes
from sam_backend.service.app import create_app
from sam_backend.service.metrics import Metrics
from sam_backend.service.traces import Traces, traces_of_environment

export = pytest.importorskip("opentelemetry.sdk.trace.export", reason="the extra tracing is not installed")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in ("ENDPOINT", "TRACES_ENDPOINT", "PROTOCOL"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)


@pytest.fixture
def traced(make_settings, segmenter):
    """A function that makes a client whose spans go to the given traces."""

    def make(traces):
        metrics, settings = Metrics(traces), make_settings()
        return TestClient(create_app(assemble(segmenter, settings, observer=metrics), settings, metrics))

    return make


@pytest.fixture
def memory(traced):
    """A client, and a function that returns its spans by name."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    with traced(Traces(provider)) as client:
        yield client, lambda: {span.name: span for span in exporter.get_finished_spans()}


def test_a_request_is_a_span_below_its_callers_with_its_stages_below_it(memory, caplog):
    client, spans = memory
    caplog.set_level(logging.INFO, "sam_backend")
    caller = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    client.post("/predict", json=interactive(click(25, 15), number=7), headers=caller)
    found = spans()
    request = found["POST /predict"]
    assert f"{request.context.trace_id:032x}" == TRACE == caplog.records[-1].fields["trace_id"]
    assert f"{request.parent.span_id:016x}" == PARENT
    assert request.kind.name == "SERVER"
    assert request.attributes["http.response.status_code"] == 200
    assert (request.attributes["sam_inspect.task"], request.attributes["sam_inspect.prompt"]) == ("7", "1+0-")
    assert set(found) - {"POST /predict"} == set(caplog.records[-1].fields["stages"]) - {"total"}
    assert found["embedding_cache"].parent.span_id == request.context.span_id
    assert found["embedding"].parent.span_id == found["embedding_cache"].context.span_id
    assert {span.context.trace_id for span in found.values()} == {request.context.trace_id}


def test_a_failed_stage_says_so_without_secrets(memory):
    client, spans = memory
    with serving() as images:
        address = f"{images.url}/gone.png?token=of-mine-12345"
        client.post("/predict", json=interactive(click(25, 15), image=address), headers={"traceparent": "no such"})
    stage, request = spans()["fetch_image"], spans()["POST /predict"]
    assert (stage.status.status_code.name, request.status.status_code.name) == ("ERROR", "ERROR")
    assert "answered 404" in request.status.description
    assert not any("of-mine-12345" in str(span.to_json()) for span in spans().values())


def test_the_error_of_a_stage_is_a_line_without_secrets():
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    traces = Traces(provider)
    scope = {"method": "GET", "path": "/", "headers": []}
    with suppress(OSError), traces.request(scope, RequestNotes()), traces.stage("fetch_image"):
        raise OSError("http://user:secret@host/a\nb")
    (stage, _) = exporter.get_finished_spans()
    assert stage.status.description == "OSError: http://***@host/a\\nb"


def test_a_users_mistake_is_no_error_and_a_health_check_no_span(memory):
    client, spans = memory
    client.post("/predict", json=interactive(click(25, 15), image=data_url(b"no image")))
    client.get("/health")
    client.get("/x%0Ay")
    assert spans()["POST /predict"].status.status_code.name == "UNSET"
    assert spans()["GET other"].attributes["url.path"] == "/x\\ny"
    assert not any("health" in name for name in spans())


def test_spans_arrive_at_a_receiver_of_otlp(traced, monkeypatch):
    with serving() as collector:
        collector.routes["/v1/traces"] = b""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        with traced(traces_of_environment()) as client:
            client.post("/predict", json=interactive(click(25, 15)))
        # The end of the service sends what is left.
        ((headers, path, body),) = collector.requests
    received = ExportTraceServiceRequest.FromString(body)
    (resource,) = received.resource_spans
    names = {span.name for scope in resource.scope_spans for span in scope.spans}
    kind = {name.lower(): value for name, value in headers.items()}["content-type"]
    assert (path, kind) == ("/v1/traces", "application/x-protobuf")
    assert {"POST /predict", "embedding", "decode_mask"} <= names
    assert ("service.name", "sam-inspect") in {
        (one.key, one.value.string_value) for one in resource.resource.attributes
    }


def test_a_collector_that_does_not_answer_is_one_warning_and_costs_no_answer(traced, monkeypatch, caplog):
    with serving() as collector:
        collector.routes["/v1/traces"] = 404
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.url}/v1/traces")
        with traced(traces_of_environment()) as client:
            assert client.post("/predict", json=interactive(click(25, 15))).status_code == 200
    assert [message for message in caplog.messages if "Traces" in message] == [
        "Traces do not arrive at their collector, and are lost until it answers."
    ]


def test_the_end_does_not_wait_for_a_collector(monkeypatch):
    released = threading.Event()

    class Hanging:
        def get_tracer(self, _name):
            return None

        def shutdown(self):
            assert released.wait(60)

    monkeypatch.setattr("sam_backend.service.traces._LAST_SECONDS", 0.01)
    Traces(Hanging()).stop()
    assert "last-spans" in {thread.name for thread in threading.enumerate()}
    released.set()


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "not by grpc"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "nonsense"}, "is 'nonsense', so no traces are sent; the form is http://"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "ftp://u:pw@c"}, "is 'ftp://***@c', so no traces are sent"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_BSP_SCHEDULE_DELAY": "-5"}, "must be positive"),
    ],
    ids=["not asked for", "disabled", "another protocol", "no address", "no http", "a wrong variable"],
)
def test_without_need_there_are_no_traces(monkeypatch, caplog, variables, sentence):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert traces_of_environment() is None
    assert sentence in caplog.text
    assert len(caplog.messages) == bool(sentence)


def test_a_header_that_cannot_be_read_is_not_quoted(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key: secret-of-mine")
    monkeypatch.setattr("opentelemetry.util.re._logger.filters", [])
    logging.getLogger("opentelemetry").setLevel(logging.NOTSET)
    traces_of_environment().stop()
    assert "Header format invalid" in caplog.text
    assert "secret-of-mine" not in caplog.text


def test_without_the_extra_one_warning_says_what_to_install(monkeypatch, caplog):
    real = builtins.__import__

    def without(name, *more):
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(f"No module named {name!r}", name="opentelemetry.exporter")
        return real(name, *more)

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    monkeypatch.setattr(builtins, "__import__", without)
    assert traces_of_environment() is None
    (message,) = caplog.messages
    assert message == (
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, but opentelemetry.exporter is not installed, so no traces are sent; run "
        "pip install 'sam-inspect[tracing]'"
    )
