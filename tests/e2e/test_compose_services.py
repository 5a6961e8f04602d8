"""The services of the compose file with its environment, on free ports and SQLite: a click, and what is learnt."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from ports import own_port
from sam_backend.demo.api import LabelStudioApi
from sam_backend.demo.demo_images import make_images
from sam_backend.demo.environment import executable
from sam_backend.demo.once import prompt_once
from sam_backend.demo.processes import running
from waiting import wait_for

DOCKER = Path(__file__).parents[2] / "docker"
_INHERITED = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}


@dataclass(frozen=True)
class Service:
    """A service of the compose file, with its variables filled in."""

    environment: dict[str, str]
    command: list[str]


@dataclass(frozen=True)
class Composed:
    """The running services."""

    api: LabelStudioApi
    backend_url: str
    sam_inspect: Callable[..., subprocess.CompletedProcess[str]]
    secrets: dict[str, str]
    folder: Path

    @property
    def project(self):
        return next(iter(self.api.projects().values()))


def _filled(value, variables):
    text = str(value)
    while "${" in text:
        # A default may be a variable as well, so the inner ones come first.
        text = re.sub(r"\$\{(\w+)(?::[-?]([^${}]*))?\}", lambda found: variables.get(found[1], found[2]), text)
    return text


def _service(name, secrets, addresses):
    found = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"][name]
    texts = {key: _filled(value, secrets) for key, value in found["environment"].items()}
    words = found.get("command", [])
    for known, own in addresses.items():
        texts = {key: value.replace(known, own) for key, value in texts.items()}
        words = [word.replace(known, own) for word in words]
    return Service(texts, words)


@pytest.fixture(scope="module")
def composed(home, tmp_path_factory):
    folder = tmp_path_factory.mktemp("composed")
    shutil.copy(DOCKER / "make-env.sh", folder)
    subprocess.run([folder / "make-env.sh"], check=True, capture_output=True)
    lines = (folder / ".env").read_text().splitlines()
    secrets = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    port, backend_port = own_port(18280), own_port(19290)
    url, backend_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{backend_port}"
    # The name of the backend is one of the network of the containers.
    addresses = {"http://label-studio:8080": url, "http://sam-inspect.internal:9090": backend_url}
    studio, backend, example = (_service(name, secrets, addresses) for name in ("label-studio", "backend", "example"))
    own = {"SAM_INSPECT_HOME": str(folder / "home"), "SAM_INSPECT_CACHE": str(folder / "cache")}
    own |= {"SAM_INSPECT_SETTINGS": os.devnull, "HOME": str(folder)}
    ours = [sys.executable, "-m", "sam_inspect"]
    sqlite = {"DJANGO_DB": "sqlite", "LABEL_STUDIO_BASE_DATA_DIR": str(folder / "studio"), "HOME": str(folder)}
    with ExitStack() as servers:
        servers.enter_context(
            running(
                "Label Studio",
                [str(executable(home)), "--port", str(port)],
                environment=_INHERITED | studio.environment | sqlite,
                log=folder / "studio.log",
                is_ready=lambda: _answers(f"{url}/health"),
                timeout=900,
            )
        )
        servers.enter_context(
            running(
                "The backend",
                [*ours, "serve", "--host", "0.0.0.0", "--port", str(backend_port)],
                environment=_INHERITED | backend.environment | own,
                log=folder / "backend.log",
                is_ready=lambda: _answers(f"{backend_url}/"),
                timeout=300,
            )
        )

        def sam_inspect(*words):
            variables = _INHERITED | example.environment | own
            return subprocess.run([*ours, *words], env=variables, capture_output=True, text=True, check=False)

        done = sam_inspect(*example.command)
        assert done.returncode == 0, done.stderr
        api = servers.enter_context(LabelStudioApi(url, secrets["LABEL_STUDIO_TOKEN"]))
        yield Composed(api, backend_url, sam_inspect, secrets, folder)


def _answers(url):
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def test_the_example_project_is_made_and_its_first_click_is_answered(composed):
    tasks = composed.api.tasks(composed.project)
    assert len(tasks) == 12
    rows = prompt_once(composed.api, 1, tasks[0], image=next(make_images()), file=Path())
    assert [row.prompt for row in rows] == ["first click", "next click", "box"]


def test_what_is_accepted_reaches_the_backend_with_the_password(composed):
    task = composed.api.tasks(composed.project)[0]
    value = {"x": 40, "y": 40, "width": 10, "height": 10, "rotation": 0, "rectanglelabels": ["Stain"]}
    drawn = {"id": "box1", "from_name": "box", "to_name": "image", "type": "rectanglelabels", "value": value}
    drawn |= {"original_width": 1024, "original_height": 768, "image_rotation": 0}
    regions = composed.api.prompt(1, task.id, [drawn]).regions
    composed.api._json("POST", f"/api/tasks/{task.id}/annotations/", json={"result": regions})
    shown = ("memory", "show", "--project", str(composed.project))
    wait_for(lambda: "1 of 1 annotations are examples" in composed.sam_inspect(*shown).stdout)
    assert "no password" not in (composed.folder / "backend.log").read_text()


def test_the_doctor_finds_the_whole_way_healthy_and_a_webhook_without_the_password(composed):
    done = composed.sam_inspect("doctor", "--project", str(composed.project))
    assert "✗" not in done.stdout
    assert "✓ webhook: Accepted masks are sent to" in done.stdout
    composed.api._json("PATCH", "/api/webhooks/1/", json={"headers": {}})
    done = composed.sam_inspect("doctor", "--project", str(composed.project))
    assert "! webhook: The webhook to " in done.stdout
    assert f"→ sam-inspect connect --backend {composed.backend_url} --project {composed.project}" in done.stdout


def test_nobody_signs_up_without_an_invitation(composed):
    with httpx.Client(base_url=composed.api._http.base_url, trust_env=False, follow_redirects=True) as browser:
        browser.get("/user/signup/")
        form = {"email": "visitor@example.com", "password": "a long password"}
        browser.post("/user/signup/", data=form | {"csrfmiddlewaretoken": browser.cookies.get("csrftoken", "")})
    users = composed.api._json("GET", "/api/users/", expected=list)
    assert [user["email"] for user in users] == [composed.secrets["LABEL_STUDIO_USER"]]
