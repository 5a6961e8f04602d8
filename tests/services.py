"""Applications for tests, assembled as `sam-inspect serve` assembles its own, and fixtures that make them."""

import pytest
from fastapi.testclient import TestClient

from sam_backend.core.backend import assemble
from sam_backend.service.app import create_app
from sam_backend.service.metrics import Metrics
from sam_backend.settings import Settings
from threshold_segmenter import ThresholdSegmenter


def make_app(segmenter, settings, **options):
    """Return an application; its backend is `app.state.backend`."""
    metrics = Metrics()
    backend = assemble(segmenter, settings, observer=metrics, **options)
    app = create_app(backend, settings, metrics)
    app.state.backend = backend
    return app


@pytest.fixture
def segmenter():
    return ThresholdSegmenter()


@pytest.fixture
def make_settings(tmp_path):
    def make(**fields):
        folders = {"home": tmp_path / "home", "cache": tmp_path / "cache"}
        # The images of tests lie on this machine, and Label Studio is asked for nothing that the test did not.
        return Settings(**folders | {"allow_host": "127.0.0.1", "prefetch": 0} | fields)

    return make


@pytest.fixture
def make_client(make_settings, segmenter):
    clients = []

    def make(model=None, **fields):
        client = TestClient(make_app(model or segmenter, make_settings(**fields)))
        clients.append(client)
        return client.__enter__()

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(make_client):
    return make_client()
