import pytest
from fastapi.testclient import TestClient

from sam_backend.settings import Settings
from services import make_app
from threshold_segmenter import ThresholdSegmenter


@pytest.fixture
def segmenter():
    return ThresholdSegmenter()


@pytest.fixture
def make_settings(tmp_path):
    def make(**fields):
        return Settings(home=tmp_path / "home", cache=tmp_path / "cache", **fields)

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
