import base64
import json

import pytest
from typer.testing import CliRunner

from loopback import send, serving
from sam_backend.demo.api import Login
from sam_backend.demo.connect import connect_project
from sam_backend.demo.demo_error import DemoError
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.progress import no_progress
from sam_backend.settings import Settings
from sam_inspect.main import app

TOKEN = "0123456789abcdef0123456789abcdef01234567"
BACKEND = "http://sam-inspect.internal:9090"
HOOK = f"{BACKEND}/webhook"
BASIC = f"Basic {base64.b64encode(b'label:secret').decode()}"


class LabelStudio:
    """Models and webhooks of one project, as Label Studio's API lists and changes them; what was asked of it."""

    def __init__(self, loopback):
        self.url, self.models, self.webhooks, self.asked = loopback.url, [], [], []
        self.loopback = loopback
        loopback.routes |= {"/api/ml/": self.answer, "/api/webhooks/": self.answer}
        loopback.routes |= {"/api/ml/5": self.answer, "/api/webhooks/7/": self.answer}

    def answer(self, handler):
        headers, path, body = self.loopback.requests[-1]
        kind = "ml" if path.startswith("/api/ml") else "webhooks"
        if handler.command != "GET":
            self.asked.append((handler.command, kind, json.loads(body), headers["Authorization"]))
            answered = {"id": 5 if kind == "ml" else 7}
        else:
            answered = self.models if kind == "ml" else self.webhooks
        send(handler, json.dumps(answered).encode(), content_type="application/json")

    def changed(self, kind):
        return [(method, body) for method, about, body, _ in self.asked if about == kind]


@pytest.fixture
def studio():
    with serving() as loopback:
        yield LabelStudio(loopback)


@pytest.fixture
def connect(studio, tmp_path):
    def run(backend=BACKEND, **fields):
        given = {"label_studio_url": studio.url, "label_studio_api_key": TOKEN}
        given |= {"basic_auth_user": "label", "basic_auth_pass": "secret"} | fields
        settings = Settings(home=tmp_path / "home", cache=tmp_path / "cache", **given)
        return connect_project(settings, backend, project=3, example=False, progress=no_progress)

    return run


def test_a_model_and_its_webhook_get_the_password(connect, studio):
    studio.webhooks = [{"id": 7, "url": HOOK}]
    assert connect() == (3, studio.url)
    ((method, model),) = studio.changed("ml")
    assert (method, model["url"], model["is_interactive"]) == ("POST", BACKEND, True)
    assert (model["auth_method"], model["basic_auth_user"], model["basic_auth_pass"]) == (
        "BASIC_AUTH",
        "label",
        "secret",
    )
    ((method, webhook),) = studio.changed("webhooks")
    assert (method, webhook) == ("PATCH", {"url": HOOK, "headers": {"Authorization": BASIC}, "is_active": True})
    assert {header for *_, header in studio.asked} == {f"Token {TOKEN}"}


def test_a_webhook_that_label_studio_did_not_make_is_made(connect, studio):
    studio.webhooks = [{"id": 9, "url": "http://elsewhere.example.com/webhook"}]
    connect()
    ((method, webhook),) = studio.changed("webhooks")
    assert (method, webhook["url"], webhook["project"], webhook["send_payload"]) == ("POST", HOOK, 3, True)
    assert webhook["headers"] == {"Authorization": BASIC}


def test_a_connection_moves_to_the_new_address_with_its_webhook(connect, studio):
    studio.models = [{"id": 5, "url": "http://10.0.0.5:9090/"}]
    studio.webhooks = [{"id": 7, "url": "http://10.0.0.5:9090/webhook"}]
    connect(f"{BACKEND}/", basic_auth_user=None, basic_auth_pass=None)
    ((method, model),) = studio.changed("ml")
    assert (method, model["url"], model["auth_method"]) == ("PATCH", BACKEND, "NONE")
    assert studio.changed("webhooks") == [("PATCH", {"url": HOOK, "headers": {}, "is_active": True})]


@pytest.mark.parametrize("address", ["http://localhost:9090", "http://10.0.0.5:9090", "http://[fd00::5]:9090"])
def test_addresses_that_label_studio_makes_webhooks_to_are_connected(connect, studio, address):
    connect(address)
    assert len(studio.changed("ml")) == 1


def test_a_name_without_a_dot_is_refused_before_anything_is_changed(connect, studio):
    with pytest.raises(
        DemoError, match=r"^Label Studio makes no webhook to http://backend:9090, because the name has no dot"
    ):
        connect("http://backend:9090")
    assert studio.asked == []


@pytest.mark.parametrize(
    "address",
    [
        "garbage",
        "backend.example.com",
        "ftp://a.example.com",
        "http://",
        "http://a.example.com:x",
        "http://me:pw@a.example.com",
    ],
)
def test_what_is_no_address_of_a_backend_is_refused_before_anything_is_changed(connect, studio, address):
    with pytest.raises(
        DemoError, match=r"^The address of the backend is .*; the form is http://10\.0\.0\.5:9090\.$"
    ) as refused:
        connect(address)
    assert "pw" not in str(refused.value)
    assert studio.asked == []


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            f'Can\'t connect to ML backend {BACKEND}, health check failed. <a href="https://x">Learn more</a> '
            "Additional info: HTTPConnectionPool(host='127.0.0.1', port=1): Max retries exceeded",
            f"Label Studio could not reach the backend at {BACKEND}; start the backend, and give the address under "
            "which Label Studio's machine reaches it.",
        ),
        (
            'It is <a href="https://x">no</a>\nvalid one.',
            "Label Studio answered POST /api/ml/ with 400: It is no valid one. url: Enter a valid URL.",
        ),
    ],
)
def test_what_label_studio_says_of_a_backend_is_one_clean_sentence(connect, studio, said, sentence):
    def answer(handler):
        if handler.command == "GET":
            return studio.answer(handler)
        errors = {"non_field_errors": [said], "url": ["Enter a valid URL."]}
        content = json.dumps({"detail": "Validation error", "validation_errors": errors}).encode()
        return send(handler, content, status=400, content_type="application/json")

    studio.loopback.routes["/api/ml/"] = answer
    with pytest.raises(DemoError) as raised:
        connect()
    assert str(raised.value) == sentence


def test_without_an_address_the_label_studio_of_a_known_project_is_used(connect, studio, tmp_path):
    nothing = {"label_studio_url": None, "label_studio_api_key": None}
    servers = ServerRegistry(tmp_path / "home")
    servers.remember("3.1700000000", studio.url, TOKEN)
    assert connect(**nothing) == (3, studio.url)
    assert {header for *_, header in studio.asked} == {f"Token {TOKEN}"}
    servers.remember("3.1800000000", "http://elsewhere.example.com", TOKEN)
    with pytest.raises(DemoError, match="Label Studio's address and a token are needed"):
        connect(**nothing)


@pytest.mark.parametrize("content", [b"<html>a router</html>", b"{}", b"null", b"[" * 100_000])
def test_another_server_than_label_studio_is_told_as_such(connect, studio, content):
    studio.loopback.routes["/api/ml/"] = lambda handler: send(handler, content)
    with pytest.raises(DemoError, match=r"^What answers GET /api/ml/ at http://\S+ is no Label Studio\.$"):
        connect()


def test_the_password_is_not_shown_by_accident():
    assert "secret" not in repr(Login("label", "secret"))


@pytest.fixture
def command(tmp_path):
    def run(*words, **variables):
        folders = {"SAM_INSPECT_HOME": str(tmp_path / "home"), "SAM_INSPECT_CACHE": str(tmp_path / "cache")}
        return CliRunner().invoke(app, ["connect", "--backend", BACKEND, *words], env=folders | variables)

    return run


def test_the_command_says_what_it_connected(command, studio):
    done = command("--project", "3", "--label-studio", studio.url, "--token", TOKEN)
    assert done.exit_code == 0
    assert f"{BACKEND} is the model of project 3 in Label Studio at {studio.url}." in done.output
    assert TOKEN not in done.output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Give either the --project to connect, or --example."),
        (("--project", "3", "--example"), "Give either the --project to connect, or --example."),
        (("--project", "3"), "Label Studio's address and a token are needed"),
        (
            ("--project", "3", "--label-studio", "http://127.0.0.1:1", "--token", TOKEN),
            "Label Studio at http://127.0.0.1:1 did not answer GET /api/ml/",
        ),
    ],
)
def test_a_mistake_is_one_sentence(command, words, sentence):
    done = command(*words)
    assert done.exit_code == 1
    assert sentence in str(done.exception)
