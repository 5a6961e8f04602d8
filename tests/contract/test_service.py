"""The service over real HTTP, as a process and as Label Studio's own client calls it."""

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
import requests
import uvicorn
from requests.auth import HTTPBasicAuth

from label_studio_requests import CONFIG, PROJECT, batch, click, data_url, defect_image, interactive, png, task
from loopback import serving
from marks import needs_torch
from sam_backend.service.http_protocol import SentenceProtocol
from sam_backend.settings import Settings
from services import make_app
from threshold_segmenter import ThresholdSegmenter
from tokens import LEGACY
from waiting import PATIENCE, wait_for


@contextmanager
def running(app):
    config = uvicorn.Config(app, host="127.0.0.1", port=0, http=SentenceProtocol, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started and server.servers)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


@pytest.fixture
def service(tmp_path):
    folders = {"home": tmp_path / "home", "cache": tmp_path / "cache"}
    settings = Settings(**folders, image_timeout=0.5, allow_host="127.0.0.1", prefetch=0)
    with running(make_app(ThresholdSegmenter(), settings)) as url:
        yield url


def shown_by_label_studio(response):
    """Return the text that Label Studio 1.23 shows an annotator: that of requests' own exception."""
    with pytest.raises(requests.HTTPError) as caught:
        response.raise_for_status()
    return str(caught.value)


def test_connecting_then_clicking_then_retrieving_predictions(service):
    with serving() as label_studio:
        label_studio.routes["/data/upload/1/t1.png"] = png(defect_image())
        assert requests.get(f"{service}/health", timeout=1).json()["status"] == "UP"
        setup = {
            "project": PROJECT,
            "schema": CONFIG,
            "hostname": label_studio.url,
            "access_token": LEGACY,
            "extra_params": None,
        }
        version = requests.post(f"{service}/setup", json=setup, timeout=3).json()["model_version"]
        image = "/data/upload/1/t1.png"
        clicked = requests.post(f"{service}/predict", json=interactive(click(25, 15), image=image), timeout=100).json()
        (result,) = clicked["results"]
        assert result["model_version"] == version
        assert result["result"][0]["from_name"] == "brush"
        retrieved = requests.post(f"{service}/predict", json=batch(task(image), task(image)), timeout=100).json()
        assert len(retrieved["results"]) == 2
        assert len(label_studio.requests) == 1


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"{", 400, "The body must be JSON"),
        (interactive(click(25, 15, "Kratzer groß")), 400, "The label 'Kratzer groß' is unknown"),
        (interactive(click(125, 15)), 400, "inside the image"),
        (interactive(click(25, 15), image=data_url(b"no image")), 400, "is not an image"),
        (interactive(click(25, 15), image="IMAGES/forbidden.png"), 502, "answered 403"),
        (interactive(click(25, 15), image="IMAGES/silent.png"), 502, "did not come within 0.5 s"),
    ],
    ids=["not JSON", "unknown label", "outside", "unreadable", "403", "never answers"],
)
def test_label_studio_shows_the_annotator_the_sentence_itself(service, body, status, sentence):
    with serving() as images:
        images.routes |= {"/forbidden.png": 403, "/silent.png": images.hang}
        sent = body if isinstance(body, bytes) else json.dumps(body).replace("IMAGES", images.url).encode()
        headers = {"Content-Type": "application/json"}
        response = requests.post(f"{service}/predict", data=sent, headers=headers, timeout=PATIENCE)
    assert response.status_code == status
    assert sentence in shown_by_label_studio(response)
    assert sentence in response.json()["error"]


def test_an_answer_does_not_contain_the_header_for_our_own_server(service):
    assert "x-error" not in requests.get(f"{service}/nowhere", timeout=PATIENCE).headers


def test_a_task_with_megabytes_of_masks_is_answered(service):
    masks = [{"result": [{"value": {"format": "rle", "rle": [7] * 50_000}}]} for _ in range(60)]
    body = interactive(click(25, 15), annotations=masks, drafts=masks, predictions=masks)
    response = requests.post(f"{service}/predict", json=body, timeout=PATIENCE)
    assert int(response.request.headers["Content-Length"]) > 20e6
    assert response.json()["results"][0]["result"]


def test_a_wrong_password_is_reported_by_health_which_label_studio_checks(tmp_path):
    settings = Settings(home=tmp_path, cache=tmp_path, basic_auth_user="ls", basic_auth_pass="right")
    with running(make_app(ThresholdSegmenter(), settings)) as url:
        assert requests.get(f"{url}/health", auth=HTTPBasicAuth("ls", "right"), timeout=PATIENCE).ok
        wrong = requests.get(f"{url}/health", auth=HTTPBasicAuth("ls", "wrong"), timeout=PATIENCE)
        assert wrong.status_code == 401
        assert "user and a password" in shown_by_label_studio(wrong)


@pytest.mark.slow
class TestCommand:
    @pytest.fixture
    def environment(self, tmp_path):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SAM_INSPECT_")}
        return kept | {"SAM_INSPECT_HOME": str(tmp_path / "home"), "SAM_INSPECT_CACHE": str(tmp_path / "cache")}

    def serve(self, environment, *options):
        command = [sys.executable, "-m", "sam_inspect", "serve", *options]
        return subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE)

    @contextmanager
    def running(self, environment, *options):
        """Serve grabcut; yield its address, and the lines of its log once it has ended."""
        process = self.serve(environment, "--model", "grabcut", "--port", "0", *options)
        lines = []
        reading = threading.Thread(target=lambda: lines.extend(iter(process.stderr.readline, "")), daemon=True)
        reading.start()
        try:
            url = wait_for(lambda: re.search(r"http://[0-9.]+:\d+", "".join(lines)))[0]
            wait_for(lambda: "is ready" in "".join(lines))
            yield url, process, lines
        finally:
            process.terminate()
            process.wait(PATIENCE)
            reading.join(PATIENCE)

    def test_it_serves_until_a_signal_and_ends_without_a_traceback(self, environment):
        with self.running(environment) as (url, process, lines):
            assert requests.get(f"{url}/health", timeout=PATIENCE).json()["model_version"].startswith("grabcut")
        assert process.returncode in (0, -signal.SIGTERM)
        assert "Traceback" not in "".join(lines)

    def test_a_running_batch_is_answered_when_a_signal_comes(self, environment):
        answers = []
        body = batch(*(task(data_url(png(defect_image() + number)), number) for number in range(200)))

        def retrieve():
            answers.append(requests.post(f"{url}/predict", json=body, timeout=PATIENCE).json())

        with self.running(environment) as (url, process, lines):
            asking = threading.Thread(target=retrieve)
            asking.start()
            wait_for(lambda: 'stage="decode_mask"' in requests.get(f"{url}/metrics", timeout=PATIENCE).text)
            process.send_signal(signal.SIGTERM)
            asking.join(PATIENCE)
        assert len(answers[0]["results"]) == 200
        assert answers[0]["results"][-1] == []
        assert "Traceback" not in "".join(lines)

    def test_every_line_of_a_structured_log_is_an_object_with_the_id_of_its_request(self, environment):
        broken = interactive(click(25, 15), image=data_url(b"no image"), number=7)
        with self.running(environment, "--log-format", "json") as (url, _, lines):
            answered = [
                requests.post(f"{url}/predict", json=broken, headers={"X-Request-ID": "from-nginx.1"}, timeout=60)
            ]
            answered += [requests.post(f"{url}/predict", json=interactive(click(25, 15)), timeout=PATIENCE)]
            requests.get(f"{url}/x%0A{{not: json}}%1B[31m?token=secret-of-mine", timeout=PATIENCE)
            port = int(url.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"NO HTTP\r\n\r\n")
                client.recv(100)
        parsed = [json.loads(line) for line in lines]
        by_id = {line["request_id"]: line for line in parsed if "status" in line}
        assert answered[0].headers["X-Request-ID"] == "from-nginx.1"
        assert by_id["from-nginx.1"]["level"] == "WARNING"
        assert (by_id["from-nginx.1"]["task"], by_id["from-nginx.1"]["status"]) == ("7", 400)
        good = by_id[answered[1].headers["X-Request-ID"]]
        assert set(good["stages"]) >= {"embedding", "decode_mask", "encode_regions", "total"}
        assert sum(good["stages"].values()) <= 2 * good["stages"]["total"] + 1
        assert not any("secret-of-mine" in line for line in lines)

    @pytest.mark.parametrize(
        ("variable", "value", "sentence"),
        [("LOG_FORMAT", "json", "needs a password"), ("MAX_BODY_MB", "x", "SAM_INSPECT_MAX_BODY_MB is 'x'")],
        ids=["no password", "wrong setting"],
    )
    def test_a_structured_log_ends_with_the_sentence_of_a_failed_start(self, environment, variable, value, sentence):
        wrong = {"SAM_INSPECT_LOG_FORMAT": "json", f"SAM_INSPECT_{variable}": value}
        process = self.serve(environment | wrong, "--model", "grabcut", "--host", "0.0.0.0")
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        (line,) = map(json.loads, errors.splitlines())
        assert sentence in line["message"]

    @pytest.mark.parametrize(
        ("model", "sentence"),
        [("nanno", "did you mean nano"), pytest.param("sam:vit_b", "sam_vit_b_01ec64.pth", marks=needs_torch)],
        ids=["unknown", "missing"],
    )
    def test_a_missing_model_ends_it_with_one_sentence(self, environment, model, sentence, tmp_path):
        weights = tmp_path / "weights"
        weights.mkdir()
        # A proxy that nothing listens on keeps the download from beginning.
        offline = {"SAM_INSPECT_WEIGHTS": str(weights), "https_proxy": "http://127.0.0.1:9", "no_proxy": ""}
        process = self.serve(environment | offline, "--model", model, "--port", "0")
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        last = errors.strip().splitlines()[-1]
        assert last.startswith("sam-inspect: ")
        assert sentence in last
        assert "Traceback" not in errors

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "label-studio.example", ""])
    def test_an_address_that_other_machines_reach_needs_a_password(self, environment, host):
        process = self.serve(environment, "--model", "grabcut", "--port", "0", "--host", host)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        (line,) = errors.strip().splitlines()
        assert "SAM_INSPECT_BASIC_AUTH_USER" in line
        assert "--insecure-no-password" in line

    @pytest.mark.parametrize(
        ("options", "password"),
        [(("--insecure-no-password",), {}), ((), {"BASIC_AUTH_USER": "a", "BASIC_AUTH_PASS": "b"})],
        ids=["without a password", "with a password"],
    )
    def test_it_listens_to_other_machines_if_it_is_told_how(self, environment, options, password):
        variables = {f"SAM_INSPECT_{name}": value for name, value in password.items()}
        with self.running(environment | variables, "--host", "0.0.0.0", *options) as (_, _, lines):
            assert "http://0.0.0.0:" in "".join(lines)

    def test_a_port_in_use_ends_it_with_one_sentence(self, environment):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            process = self.serve(environment, "--model", "grabcut", "--port", str(port))
            _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        assert f"Cannot listen on 127.0.0.1:{port}" in errors
        assert "--port" in errors
        assert "Traceback" not in errors


def test_health_checks_are_not_logged_at_level_info(service, caplog):
    caplog.set_level(logging.INFO)
    requests.get(f"{service}/health", timeout=PATIENCE)
    requests.get(f"{service}/nowhere", timeout=PATIENCE)

    def lines():
        return [record.getMessage() for record in caplog.records if record.name.startswith("sam_backend")]

    wait_for(lambda: any("/nowhere" in line for line in lines()))
    assert not any("/health" in line for line in lines())
