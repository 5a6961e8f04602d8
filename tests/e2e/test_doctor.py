"""`sam-inspect doctor` on the whole way to a click in a real Label Studio, each link of it broken in turn."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from sam_backend.demo.api import LabelStudioApi
from sam_backend.doctor.findings import examine
from sam_backend.doctor.label_studio_checks import LabelStudioWay
from sam_backend.labelstudio.config_writer import write_config
from sam_backend.labelstudio.images import TaskImages
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.settings import Settings

CONFIG = write_config(["Pit"])


@pytest.fixture
def found(stack, tmp_path):
    """Return a function that returns what the checks of a project find."""

    def run(project, url=stack.url, token=stack.credentials.token):
        settings = Settings(home=tmp_path, cache=tmp_path, label_studio_url=url, label_studio_api_key=token)
        servers = ServerRegistry.of_settings(settings)
        way = LabelStudioWay(servers, servers.find(str(project)), TaskImages.of_settings(settings), str(project))
        return list(examine(way.checks()))

    return run


@pytest.fixture
def project(stack):
    """Return a function that creates a project with a task, connected to the backend if that is asked for."""

    def make(config=CONFIG, *, image=None, connect=True):
        number = stack.api.create_project("Doctor", f"doctor {id(object())}", config)
        stack.api.create_tasks(number, [{"image": image or stack.tasks[0].image}])
        if connect:
            stack.api.connect_backend(number, stack.backend_url, "SAM Inspect")
        return number

    return make


def failures(findings):
    return [f"{one.check}: {one.found} → {one.cure}" for one in findings if one.outcome == "failed"]


def test_the_whole_way_works(found, stack):
    findings = found(stack.project)
    assert failures(findings) == []
    assert [one.check for one in findings if one.check != "Label Studio"] == [
        "token",
        "project",
        "labeling config",
        "image of a task",
        "connected model",
        "webhook",
        "click in Label Studio",
    ]
    assert findings[-1].outcome in ("ok", "warning")


def test_each_broken_link_of_a_project_is_the_one_that_is_named(found, project, stack):
    (failure,) = failures(found(project(), token="0" * 40))
    assert failure.startswith("token: ")
    (failure,) = failures(found(999_999))
    assert failure.startswith("project: ")
    (failure,) = failures(found(project(), url=stack.backend_url))
    assert "not as Label Studio does" in failure
    no_tool = CONFIG.replace('smart="true" smartOnly="true"', "")
    assert "No tool is smart" in failures(found(project(no_tool)))[0]
    (failure,) = failures(found(project(image="/data/upload/1/gone.png")))
    assert failure.startswith("image of a task: ")
    (failure,) = failures(found(project(connect=False)))
    assert "No model is connected" in failure
    assert "ML_BLOCK_LOCAL_IP=false" in failure


def test_a_model_that_is_away_or_not_for_clicks_and_a_webhook_that_is_gone_are_named(found, project, stack):
    number = project(connect=False)
    with answering_backend() as url:
        connection = stack.api.connect_backend(number, url, "Passing")
    (failure,) = failures(found(number))
    assert f"connected model: Label Studio does not reach {url}" in failure
    number = project()
    api: LabelStudioApi = stack.api
    for webhook in api._json("GET", "/api/webhooks/", expected=list, params={"project": number}):
        api._http.delete(f"/api/webhooks/{webhook['id']}/").raise_for_status()
    (warning,) = [one for one in found(number) if one.check == "webhook"]
    assert (warning.outcome, "accepted masks are not learnt" in warning.found) == ("warning", True)
    (model,) = api._json("GET", "/api/ml/", expected=list, params={"project": number})
    body = {"project": number, "url": model["url"], "title": "SAM Inspect", "is_interactive": False}
    api._json("PATCH", f"/api/ml/{model['id']}", json=body)
    (failure,) = failures(found(number))
    assert "connected, but not for clicks" in failure
    assert connection


@contextmanager
def answering_backend():
    """Run a backend that answers Label Studio's `/health` and `/setup` on a free port; yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"status": "UP", "model_version": "passing"}).encode()
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that the server calls

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
