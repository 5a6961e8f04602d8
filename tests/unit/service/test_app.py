import base64
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio.to_thread
import pytest
from fastapi.testclient import TestClient

from label_studio_requests import CONFIG, PROJECT, click, data_url, defect_image, interactive, png
from loopback import serving
from sam_backend.core import backend as backend_module
from sam_backend.errors import SamInspectError, WeightsError
from sam_backend.labelstudio.transport import AT_ONCE
from sam_backend.segmenters.correcting import Correcting
from services import make_app
from threshold_segmenter import SERVED_VERSION, ThresholdSegmenter
from tokens import LEGACY

SETUP = {"project": PROJECT, "schema": CONFIG, "hostname": "", "access_token": LEGACY, "extra_params": None}

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def label_studio():
    with serving() as server:
        yield server


@pytest.mark.parametrize("path", ["/", "/health"])
def test_health_is_up(client, path):
    answer = client.get(path).json()
    assert answer["status"] == "UP"
    assert answer["model_version"] == SERVED_VERSION


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_versions_lists_the_model(client, method):
    # Label Studio sends a body with its GET.
    answer = client.request(method, "/versions", json={"project": PROJECT})
    assert answer.json() == {"versions": [SERVED_VERSION]}


def test_health_and_setup_do_not_wait_for_the_model_but_predict_does(make_client, monkeypatch):
    loaded = threading.Event()

    def load(_name, _checkpoint, **_options):
        assert loaded.wait(30)
        return Correcting(ThresholdSegmenter())

    monkeypatch.setattr(backend_module, "load_segmenter", load)
    client = make_client("nano")
    assert client.get("/health").json()["status"] == "starting"
    assert client.post("/setup", json=SETUP).json() == {"model_version": "nano"}
    answers = []
    asking = threading.Thread(
        target=lambda: answers.append(client.post("/predict", json=interactive(click(25, 15))).json())
    )
    asking.start()
    loaded.set()
    asking.join(30)
    assert answers[0]["results"][0]["result"]
    assert client.post("/setup", json=SETUP).json() == {"model_version": SERVED_VERSION}


def test_setup_is_answered_however_many_predictions_wait(make_client, label_studio):
    label_studio.routes["/x.png"] = label_studio.hang
    client = make_client(image_timeout=60)
    bodies = [interactive(click(25, 15), image=f"{label_studio.url}/x.png?{number}") for number in range(50)]
    waiting = [threading.Thread(target=client.post, args=("/predict",), kwargs={"json": body}) for body in bodies]
    for thread in waiting:
        thread.start()
    while len(label_studio.requests) < AT_ONCE:
        threading.Event().wait(0.01)
    answer = client.post("/setup", json=SETUP | {"hostname": label_studio.url})
    assert all(thread.is_alive() for thread in waiting)
    label_studio.released.set()
    for thread in waiting:
        thread.join(30)
    assert answer.json() == {"model_version": SERVED_VERSION}


def test_health_metrics_and_passwords_take_no_thread(make_client, monkeypatch):
    client = make_client(basic_auth_user="a", basic_auth_pass="b", max_waiting=0)

    def no_thread(*_args, **_more):
        pytest.fail("a thread was taken")

    monkeypatch.setattr(anyio.to_thread, "run_sync", no_thread)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", no_thread)
    for path in ("/", "/health", "/metrics", "/versions"):
        assert client.get(path, auth=("a", "b")).status_code == 200
        assert client.get(path, auth=("a", "c")).status_code == (200 if path == "/" else 401)


def test_clicks_and_health_are_answered_however_many_setups_hang(make_client, monkeypatch):
    client, hung, released = make_client(max_waiting=100), threading.Semaphore(0), threading.Event()

    def hang(*_args):
        hung.release()
        assert released.wait(60)

    monkeypatch.setattr(backend_module.Backend, "connect", hang)
    threads = [threading.Thread(target=client.post, args=("/setup",), kwargs={"json": SETUP}) for _ in range(41)]
    for thread in threads:
        thread.start()
    hung.acquire(timeout=30)
    assert client.get("/health").status_code == 200
    assert client.get("/status").status_code == 200
    assert client.post("/predict", json=interactive(click(25, 15))).status_code == 200
    assert client.post("/webhook", json={"action": "X", "project": {"id": 1}}).status_code == 200
    assert all(thread.is_alive() for thread in threads)
    released.set()
    for thread in threads:
        thread.join(30)


def test_a_click_is_answered_by_its_deadline(make_client, label_studio):
    label_studio.routes["/x.png"] = label_studio.hang
    client = make_client(click_deadline=0.2, image_timeout=60)
    response = client.post("/predict", json=interactive(click(25, 15), image=f"{label_studio.url}/x.png"))
    assert response.status_code == 503
    assert "within 0.2 s" in response.json()["error"]
    assert int(response.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "path",
    ["/x%0A2026-11-28 WARNING forged", "/x%1B[31m", "/x%E2%80%A8y", "/" + "x" * 10_000],
    ids=["line end", "escape", "line separator", "long"],
)
def test_a_path_cannot_forge_a_log_line(client, caplog, path):
    response = client.get(path)
    assert response.status_code == 404
    (line,) = [message for message in caplog.messages if " 404 " in message]
    assert line.isprintable()
    assert len(line) < 1000
    assert response.json()["error"].isprintable()


def test_bad_items_of_a_webhook_are_left_out_and_said(client, caplog):
    body = {"action": "ANNOTATIONS_DELETED", "project": {"id": 1}, "annotations": [{"id": 1}, {"id": "abc"}]}
    answer = client.post("/webhook", json=body)
    assert answer.status_code == 200
    assert "'annotations'" in answer.json()["left_out"][0]
    assert "Item 1 of 'annotations' is left out" in caplog.text
    assert client.post("/webhook", json=body | {"annotations": [{"id": "abc"}]}).status_code == 400


def test_a_model_that_cannot_be_loaded_answers_with_the_reason(make_settings, monkeypatch):
    def load(_name, _checkpoint, **_options):
        raise WeightsError("The checkpoint is missing; put it there.")

    failures = []
    monkeypatch.setattr(backend_module, "load_segmenter", load)
    with TestClient(make_app("sam:vit_b", make_settings(), on_failure=failures.append)) as client:
        response = client.post("/predict", json=interactive(click(25, 15)))
    assert response.status_code == 503
    assert response.json()["error"] == "The checkpoint is missing; put it there."
    assert [str(failure) for failure in failures] == ["The checkpoint is missing; put it there."]


def test_the_settings_say_whether_the_model_takes_a_second_look(make_client, monkeypatch):
    asked = []

    def load(_name, _checkpoint, *, focus, **_options):
        asked.append(focus)
        return Correcting(ThresholdSegmenter())

    monkeypatch.setattr(backend_module, "load_segmenter", load)
    for fields in ({}, {"focus": "off"}):
        make_client("nano", **fields).post("/predict", json=interactive(click(25, 15)))
    assert asked == ["auto", "off"]


def test_an_image_of_label_studio_is_fetched_from_the_server_that_called_setup(make_settings, label_studio):
    label_studio.routes["/data/upload/1/x.png"] = png(defect_image())
    with TestClient(make_app(ThresholdSegmenter(), make_settings())) as client:
        client.post("/setup", json=SETUP | {"hostname": label_studio.url})
    with TestClient(make_app(ThresholdSegmenter(), make_settings())) as restarted:
        body = interactive(click(25, 15), image="/data/upload/1/x.png")
        assert restarted.post("/predict", json=body).json()["results"][0]["result"]
        other = restarted.post("/predict", json={**body, "project": "1.1700000000"})
    assert other.status_code == 400
    assert label_studio.requests[0][0]["Authorization"] == f"Token {LEGACY}"
    assert len(label_studio.requests) == 1


def test_two_label_studios_with_the_same_path_do_not_share_images(client, label_studio, segmenter):
    with serving() as other:
        for server, uid in ((label_studio, "1.1"), (other, "1.2")):
            server.routes["/data/upload/1/x.png"] = png(defect_image())
            client.post("/setup", json=SETUP | {"hostname": server.url, "project": uid})
            body = interactive(click(25, 15), image="/data/upload/1/x.png", project=uid)
            assert client.post("/predict", json=body).status_code == 200
        assert len(label_studio.requests) == len(other.requests) == 1
    assert segmenter.encoded == 2


def test_the_next_click_neither_fetches_nor_encodes_the_image_again(client, label_studio, segmenter):
    label_studio.routes["/x.png"] = png(defect_image())
    for x in (25, 45):
        client.post("/predict", json=interactive(click(x, 15), image=f"{label_studio.url}/x.png"))
    assert len(label_studio.requests) == segmenter.encoded == 1


@pytest.mark.parametrize("hostname", ["label-studio:8080", "ftp://x"])
def test_setup_refuses_a_hostname_that_is_not_an_address(client, hostname):
    response = client.post("/setup", json=SETUP | {"hostname": hostname})
    assert response.status_code == 400
    assert "LABEL_STUDIO_HOST" in response.json()["error"]


def test_without_a_writable_home_servers_are_remembered_until_the_process_ends(make_settings, label_studio, tmp_path):
    (tmp_path / "home").write_text("not a folder")
    label_studio.routes["/data/upload/1/x.png"] = png(defect_image())
    with TestClient(make_app(ThresholdSegmenter(), make_settings())) as client:
        assert client.post("/setup", json=SETUP | {"hostname": label_studio.url}).status_code == 200
        body = interactive(click(25, 15), image="/data/upload/1/x.png")
        assert client.post("/predict", json=body).status_code == 200


@pytest.mark.parametrize("answer", [401, 403, 404, "hang"])
def test_a_failure_of_an_image_server_is_a_502_with_its_reason(make_client, label_studio, answer):
    label_studio.routes["/x.png"] = label_studio.hang if answer == "hang" else answer
    client = make_client(image_timeout=0.2)
    response = client.post("/predict", json=interactive(click(25, 15), image=f"{label_studio.url}/x.png"))
    assert response.status_code == 502
    assert response.json()["error"].endswith("sam-inspect doctor finds out why.")
    assert ("within 0.2 s" if answer == "hang" else f"answered {answer}") in response.json()["error"]
    assert client.post("/predict", json=interactive(click(25, 15))).status_code == 200


def test_a_truncated_image_is_a_bad_request(client):
    truncated = data_url(png(defect_image())[:100])
    response = client.post("/predict", json=interactive(click(25, 15), image=truncated))
    assert response.status_code == 400
    assert "truncated" in response.json()["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"tasks=1", b"NaNa"])
@pytest.mark.parametrize("path", ["/predict", "/setup", "/webhook", "/validate"])
def test_a_body_that_is_not_json_is_refused(client, path, body):
    response = client.post(path, content=body, headers=JSON)
    assert response.status_code == 400
    assert "must be JSON" in response.json()["error"]


@pytest.mark.parametrize(("path", "mebibytes"), [("/predict", 2), ("/webhook", 2), ("/setup", 1), ("/validate", 1)])
def test_a_body_that_is_too_large_is_refused(make_client, path, mebibytes):
    response = make_client(max_body_mb=2).post(path, content=b" " * (mebibytes * 2**20 + 1), headers=JSON)
    assert response.status_code == 413
    assert f"at most {mebibytes} MiB" in response.json()["error"]


@pytest.mark.parametrize("action", ["PROJECT_UPDATED", "SOMETHING_NEW"])
def test_webhooks_are_acknowledged_and_say_that_nothing_was_done(client, action):
    response = client.post("/webhook", json={"action": action, "project": {"id": 1}})
    assert response.status_code == 200
    answer = response.json()
    assert (answer["status"], answer["action"]) == ("ignored", action)


def test_validate_says_where_masks_go_or_which_tag_is_missing(client):
    assert client.post("/validate", json={"config": CONFIG}).json() == {"status": "ok", "masks": {"image": ["brush"]}}
    choices = '<Choices name="c" toName="image"><Choice value="a"/></Choices>'
    useless = f'<View><Image name="image" value="$image"/>{choices}</View>'
    response = client.post("/validate", json={"config": useless})
    assert response.status_code == 400
    assert "BrushLabels" in response.json()["error"]


def test_an_unknown_route_and_a_wrong_method_are_named(client):
    assert client.get("/train").status_code == 404
    response = client.get("/predict")
    assert response.status_code == 405
    assert "no GET /predict" in response.json()["error"]


def test_a_bug_is_a_500_whose_traceback_is_only_in_the_log(client, segmenter, monkeypatch, caplog):
    monkeypatch.setattr(segmenter, "decode", lambda *_args, **_more: {}["secret"])
    response = client.post("/predict", json=interactive(click(25, 15)))
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "KeyError: 'secret'" in caplog.text
    monkeypatch.undo()
    assert client.post("/predict", json=interactive(click(25, 15))).status_code == 200


class TestPassword:
    @pytest.fixture
    def client(self, make_client):
        return make_client(basic_auth_user="label", basic_auth_pass="stüdio:1")

    @pytest.mark.parametrize("path", ["/health", "/versions", "/metrics"])
    def test_only_the_root_answers_without_it(self, client, path):
        assert client.get("/").status_code == 200
        response = client.get(path)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic")
        assert "Label Studio" in response.json()["error"]

    def test_every_route_answers_with_it(self, client):
        credentials = base64.b64encode("label:stüdio:1".encode()).decode()
        assert client.get("/health", headers={"Authorization": f"Basic {credentials}"}).status_code == 200

    @pytest.mark.parametrize(
        "header", ["Basic bGFiZWw6d3Jvbmc=", "Basic ???", "Basic é", "Bearer label:stüdio:1", "Basic", ""]
    )
    def test_anything_else_is_refused_and_not_even_parsed(self, client, header):
        response = client.post("/setup", content=b"{", headers={"Authorization": header.encode()})
        assert response.status_code == 401

    def test_a_user_without_a_password_is_refused_at_the_start(self, make_client):
        with pytest.raises(SamInspectError, match="belong together"):
            make_client(basic_auth_user="label")

    def test_empty_variables_count_as_not_set(self, make_client):
        assert make_client(basic_auth_user="", basic_auth_pass="").get("/health").status_code == 200


def test_metrics_count_requests_work_and_the_cache(client, label_studio):
    label_studio.routes["/gone.png"] = 404
    for drawn in (click(25, 15), click(45, 15)):
        client.post("/predict", json=interactive(drawn))
    client.post("/predict", json=interactive(click(25, 15), image=f"{label_studio.url}/gone.png"))
    text = client.get("/metrics").text
    for line in (
        'sam_inspect_request_seconds_count{route="/predict",status="200"} 2.0',
        'sam_inspect_request_seconds_count{route="/predict",status="502"} 1.0',
        'sam_inspect_embedding_cache_hits_total{layer="memory"} 1.0',
        'sam_inspect_embedding_cache_misses_total{layer="disk"} 1.0',
        'sam_inspect_image_errors_total{status="502"} 1.0',
        'sam_inspect_stage_seconds_count{stage="embedding",work="click"} 1.0',
        'sam_inspect_stage_seconds_count{stage="decode_mask",work="click"} 2.0',
    ):
        assert line in text


def test_a_request_is_one_log_line_with_its_prompt_and_without_secrets(client, label_studio, caplog):
    caplog.set_level(logging.INFO, "sam_backend")
    label_studio.routes |= {"/x.png": png(defect_image()), "/gone.png": 404}
    client.post("/setup", json=SETUP | {"hostname": label_studio.url})
    for name in ("x", "x", "gone"):
        url = f"{label_studio.url}/{name}.png?X-Amz-Signature=secret"
        client.post("/predict", json=interactive(click(25, 15), click(5, 5, positive=False), image=url, number=17))
    lines = [line for line in caplog.messages if "/predict" in line]
    assert len(lines) == 3
    assert "200" in lines[0]
    assert "task=17 prompt=1+1- image=encoder" in lines[0]
    assert "image=memory" in lines[1]
    assert "502" in lines[2]
    assert "answered 404" in lines[2]
    assert "secret" not in caplog.text
    assert LEGACY not in caplog.text


def test_two_applications_in_one_process_share_no_metrics(make_client):
    one, other = make_client(), make_client()
    one.post("/predict", json=interactive(click(25, 15)))
    assert "status" not in other.get("/metrics").text.split("sam_inspect_request_seconds_count", 1)[-1].split("\n")[0]


def test_many_annotators_at_once_all_get_their_own_answer(client, segmenter):
    answers = {}

    def ask(number):
        x = 25 if number % 2 else 45
        body = interactive(click(x, 15), number=number)
        answers[number] = client.post("/predict", json=body).json()["results"][0]["result"][0]["value"]["rle"]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len({tuple(rle) for number, rle in answers.items() if number % 2}) == 1
    assert len({tuple(rle) for rle in answers.values()}) == 2
    assert segmenter.encoded == 1


@pytest.mark.parametrize("given", ["", "two words", "x" * 65, "a\u00f6", "<script>"])
def test_a_malformed_request_id_is_replaced_and_a_good_one_given_back(client, given):
    good = client.get("/health", headers={"X-Request-ID": "0123-ab.c_d"}).headers["X-Request-ID"]
    made = client.get("/health", headers={"X-Request-ID": given.encode("latin-1")}).headers["X-Request-ID"]
    assert good == "0123-ab.c_d"
    assert made != given
    assert len(made) == 16
    both = [("X-Request-ID", "a"), ("X-Request-ID", "b")]
    assert len(client.get("/nowhere", headers=both).headers["X-Request-ID"]) == 16


def test_the_line_of_a_request_has_fields_for_programs(client, caplog):
    caplog.set_level(logging.INFO, "sam_backend")
    client.post("/predict", json=interactive(click(25, 15), number=7))
    fields = caplog.records[-1].fields
    assert (fields["method"], fields["path"], fields["status"]) == ("POST", "/predict", 200)
    assert (fields["prompt"], fields["image"], fields["model"]) == ("1+0-", "encoder", SERVED_VERSION)
    stages = fields["stages"]
    assert set(stages) == {
        *("embedding_cache", "fetch_image", "decode_image", "wait_for_device", "embedding", "decode_mask"),
        *("encode_regions", "total"),
    }
    assert sum(stages.values()) - stages["total"] <= stages["total"] + 1


def test_a_secret_that_the_shown_part_of_a_path_ends_in_is_masked(client, caplog):
    response = client.get("/" + "x" * 170 + "http://me:password-of-mine-and-more@host/")
    assert "password" not in response.text + caplog.text
