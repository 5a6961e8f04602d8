"""The demo from end to end: install, start, connect, fill; then stay for a person, or prompt once and check."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import httpx
from rich.console import Console
from rich.panel import Panel
from rich.status import Status

from sam_backend.demo.api import LabelStudioApi, Task
from sam_backend.demo.environment import InstallError, install
from sam_backend.demo.errors import DemoError
from sam_backend.demo.images import LABELS, make_images, write_images
from sam_backend.demo.label_studio import Credentials, label_studio
from sam_backend.demo.once import as_table, prompt_once
from sam_backend.demo.processes import free_port, running
from sam_backend.demo.project import (
    BACKEND_TITLE,
    Source,
    import_images,
    open_project,
    pre_annotate,
    user_images,
)
from sam_backend.segmenters.registry import model_info
from sam_backend.segmenters.weights import obtain_checkpoint

# Tasks that are pre-annotated before the annotator may begin; Label Studio asks for others when they are opened.
_PRE_ANNOTATED = 24
_MODEL_PATIENCE = 300.0


@dataclass(frozen=True)
class Demo:
    """What the demo runs with.

    Attributes
    ----------
    images : folder of the user's images, or None for the product's own.
    model : name of a segmenter.
    home : folder for Label Studio, its data, the log-in and the logs.
    port, backend_port : where Label Studio and the backend listen; the next free ones when busy.
    """

    images: Path | None
    model: str
    home: Path
    port: int
    backend_port: int


def run(demo: Demo, *, once: bool, console: Console) -> None:
    """Run the demo: until Ctrl-C, or with `once` until a few prompts have been answered and checked.

    Raises
    ------
    SamInspectError
        With the reason, if anything does not work as it should.
    """
    source = user_images(demo.images) if demo.images else None
    checkpoint = model_info(demo.model).checkpoint
    if checkpoint:
        obtain_checkpoint(checkpoint)
    home = demo.home.expanduser().absolute()
    with _ended_by_signals(), _alone(home), ExitStack() as servers:
        with console.status("Looking for Label Studio") as status:
            source = source or _own_images(home)
            executable = _install(home, status)
            port, backend_port = _ports(demo, console)
            status.update("Starting Label Studio; the first time takes about a minute")
            credentials = servers.enter_context(label_studio(executable, home=home, port=port))
            url = f"http://localhost:{port}"
            console.print(f"[green]✓[/] Label Studio runs on {url}")
            status.update(f"Starting the backend with model {demo.model}")
            backend = servers.enter_context(_backend(demo.model, home, backend_port, keep_embeddings=not once))
            backend_url = f"http://127.0.0.1:{backend_port}"
            console.print(f"[green]✓[/] The backend runs on {backend_url} with model {demo.model}")
            api = servers.enter_context(LabelStudioApi(f"http://127.0.0.1:{port}", credentials.token))
            project = open_project(api, source)

            def progress(what: str, done: int, count: int) -> None:
                status.update(f"{what}: {done} of {count}")

            tasks = import_images(api, project, source, progress)
            connection = api.connect_backend(project, backend_url, BACKEND_TITLE)
            console.print(f"[green]✓[/] Project {source.title} holds {len(tasks)} images and asks the backend")
            # With `once`, the first image stays unseen by the backend, so that its first click is one.
            missing = pre_annotate(api, project, tasks[1 if once else 0 : _PRE_ANNOTATED], progress)
            if once:
                status.update("Prompting")
                own = next(make_images()) if demo.images is None else None
                rows = prompt_once(api, connection, tasks[0], image=own, file=source.files[0])
                missing += pre_annotate(api, project, tasks[:1], progress)
            console.print(f"[green]✓[/] {min(len(tasks), _PRE_ANNOTATED) - len(missing)} tasks are pre-annotated")
        if once:
            console.print(as_table(rows, model=demo.model))
        if missing:
            names = ", ".join(task.name for task in missing)
            unserved = f"No pre-annotation came for {names}; {home / 'logs' / 'backend.log'} says why."
            if once:
                raise DemoError(unserved)
            console.print(f"[yellow]{unserved}[/]")
        if not once:
            console.print(_welcome(url, project, tasks[0], source.labels, credentials))
            _stay(backend, home)


def _own_images(home: Path) -> Source:
    files = write_images(home / "images")
    return Source("SAM Inspect", "Images that SAM Inspect makes itself", LABELS, tuple(files))


def _install(home: Path, status: Status) -> Path:
    try:
        return install(
            home, lambda line: status.update(f"Installing Label Studio, some minutes the first time: {line[:60]}")
        )
    except InstallError as error:
        raise DemoError(str(error)) from None


def _ports(demo: Demo, console: Console) -> tuple[int, int]:
    port = free_port(demo.port)
    backend_port = free_port(demo.backend_port, taken=[port])
    for name, wanted, got in (("Label Studio", demo.port, port), ("the backend", demo.backend_port, backend_port)):
        if got != wanted:
            console.print(f"[yellow]Port {wanted} is busy; {name} takes {got}.[/]")
    return port, backend_port


@contextmanager
def _backend(model: str, home: Path, port: int, *, keep_embeddings: bool) -> Iterator[subprocess.Popen[bytes]]:
    """Run the backend until the block ends; it yields once the model is loaded."""
    # A user's settings for a server of his own must not reach the demo's.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SAM_INSPECT_")}
    kept = {name: os.environ[name] for name in ("SAM_INSPECT_WEIGHTS", "SAM_INSPECT_CACHE") if name in os.environ}
    own = {"SAM_INSPECT_HOME": str(home / "backend")}
    if not keep_embeddings:
        own["SAM_INSPECT_EMBEDDING_DISK_MB"] = "0"
    with running(
        "The backend",
        [sys.executable, "-m", "sam_backend", "serve", "--model", model, "--host", "127.0.0.1", "--port", str(port)],
        environment={**inherited, **kept, **own, "NO_PROXY": "*"},
        log=home / "logs" / "backend.log",
        is_ready=lambda: _has_loaded(f"http://127.0.0.1:{port}/health", model),
        patience=_MODEL_PATIENCE,
    ) as process:
        yield process


def _has_loaded(url: str, model: str) -> bool:
    """Whether the backend gives its model's version, which it knows once the model is loaded."""
    try:
        answer = httpx.get(url, timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.is_success and answer.json().get("model_version") != model


def _welcome(url: str, project: int, task: Task, labels: tuple[str, ...], credentials: Credentials) -> Panel:
    return Panel(
        f"Open     [link]{url}/projects/{project}/data?task={task.id}[/link]\n"
        f"Log in   {credentials.user}   {credentials.password}\n\n"
        "1. Switch on Auto-Annotation, below the image.\n"
        "2. In the toolbar beside the image, pick the last tool: the smart key point.\n"
        f"3. Press 1 for the label {labels[0]}, and click the defect: its mask appears.\n"
        "4. Not quite? Press 1 again and click what is missing, or Alt+click what is too much.\n"
        "5. Accept with the green tick, and submit.\n\n"
        "For a box, choose the smart rectangle in the same place. Ctrl-C ends the demo; everything is kept.",
        title="SAM Inspect",
        expand=False,
    )


def _stay(backend: subprocess.Popen[bytes], home: Path) -> None:
    """Return on Ctrl-C."""
    try:
        while backend.poll() is None:
            time.sleep(0.5)
    except KeyboardInterrupt:
        return
    raise DemoError(f"The backend stopped (exit code {backend.returncode}); its log is {home / 'logs' / 'backend.log'}")


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Keep a second demo off this folder: two Label Studios on one SQLite file spoil it."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"A demo runs in {home} already; end it, or give another --home.") from None
        yield


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Make a termination or a closed terminal unwind as Ctrl-C does, and let nothing disturb the unwinding."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def unwind(_number: int, _frame: FrameType | None) -> NoReturn:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    earlier = {number: signal.signal(number, unwind) for number in numbers}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
