"""A real Label Studio, the real backend and a real browser, started once for all end-to-end tests."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from labeling_page import LabelingPage
from ports import own_port
from sam_backend.demo.api import DemoTask, LabelStudioApi
from sam_backend.demo.backend_process import backend
from sam_backend.demo.environment import executable, is_installed
from sam_backend.demo.label_studio_process import Credentials, label_studio
from sam_backend.demo.project import BACKEND_TITLE, built_in_images, import_images, open_project
from sam_backend.settings import Settings
from stain_project import draw_stains

ROOT = Path(__file__).parents[2]
MODEL = "nano"
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


def _lacking(what: str) -> None:
    """Skip where a developer's machine lacks something; the machine that decides on a change must not."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}; end-to-end tests must run here")
    pytest.skip(what)


@pytest.fixture(scope="session")
def home(tmp_path_factory) -> Path:
    """A demo's folder of the tests' own, with the environment that `make setup` installed."""
    installed = ROOT / ".demo"
    if not is_installed(installed):
        _lacking("Label Studio is not installed in .demo; run make setup")
    home = tmp_path_factory.mktemp("demo")
    tested = os.environ.get("TESTED_LABEL_STUDIO", installed / "label-studio-venv")
    (home / "label-studio-venv").symlink_to(Path(tested).absolute())
    return home


def _command(home: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "sam_inspect", "demo", "--home", str(home), "--model", MODEL, *options]


@pytest.fixture(scope="session")
def demo_once(home) -> subprocess.CompletedProcess[str]:
    """`sam-inspect demo --once`, the first run in its folder."""
    ports = ["--port", str(own_port(18080)), "--backend-port", str(own_port(19090))]
    return subprocess.run(
        _command(home, "--once", *ports),
        capture_output=True,
        text=True,
        timeout=900,
        env=os.environ | {"COLUMNS": "120"},
    )


@dataclass(frozen=True)
class Interrupted:
    """What `sam-inspect demo` printed until Ctrl-C, how it ended, and where it had listened."""

    output: str
    code: int
    busy: int
    ports: tuple[int, int]


@pytest.fixture(scope="session")
def demo_interrupted(home, demo_once) -> Interrupted:
    """`sam-inspect demo` on a busy port, interrupted once it has welcomed the annotator."""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        wanted = busy.getsockname()[1]
        backend_port = own_port(19090)
        process = subprocess.Popen(
            _command(home, "--port", str(wanted), "--backend-port", str(backend_port)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=os.environ | {"COLUMNS": "120"},
        )
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C ends the demo" in line:
                process.send_signal(signal.SIGINT)
        output = "".join(lines)
        # The one that it took: another program may have taken the next one meanwhile.
        taken = re.search(rf"Port {wanted} is busy; Label Studio takes (\d+)\.", output)
        assert taken, output
        return Interrupted(output, process.wait(60), wanted, (int(taken[1]), backend_port))


@dataclass(frozen=True)
class Stack:
    """A running Label Studio with the demo's project, connected to a running backend."""

    url: str
    credentials: Credentials
    api: LabelStudioApi
    project: int
    connection: int
    backend_url: str
    tasks: list[DemoTask]

    def task(self, name: str) -> DemoTask:
        return next(task for task in self.tasks if task.name == name)


@pytest.fixture(scope="session")
def stack(home, demo_interrupted) -> Stack:
    """Label Studio and the backend on the folder that two runs of the demo have used, but on other ports."""
    port, backend_port = own_port(18180), own_port(19190)
    url, backend_url = f"http://localhost:{port}", f"http://127.0.0.1:{backend_port}"
    with ExitStack() as servers:
        _, credentials = servers.enter_context(label_studio(executable(home), home=home, port=port))
        servers.enter_context(backend(MODEL, Settings(), home=home, port=backend_port, label_studio=url))
        api = servers.enter_context(LabelStudioApi(url, credentials.token))
        source = built_in_images(home)
        project = open_project(api, source)
        tasks = import_images(api, project, source, lambda *_: None)
        connection = api.connect_backend(project, backend_url, BACKEND_TITLE)
        yield Stack(url, credentials, api, project, connection, backend_url, tasks)


@pytest.fixture(scope="session")
def browser():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        _lacking("Chromium is not installed; run make setup")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def labeling(browser, stack, request):
    """The labeling page in a tab of its own, logged in; a screenshot of its end is kept."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(60_000)
    labeling = LabelingPage(page, stack.url)
    labeling.log_in(stack.credentials.user, stack.credentials.password)
    yield labeling
    labeling.screenshot(f"end-of-{request.node.name}")
    page.close()


@pytest.fixture(scope="session")
def stains(tmp_path_factory):
    """Stains on brushed metal: the folder of the files, and their masks by name."""
    return draw_stains(tmp_path_factory.mktemp("stains"))
