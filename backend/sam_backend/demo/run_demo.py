"""The whole demo: install, start, connect and fill; then wait for a person, or prompt once and check the answers."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from filelock import FileLock, Timeout
from rich.console import Console
from rich.panel import Panel
from rich.status import Status

from sam_backend.demo.api import DemoTask, LabelStudioApi
from sam_backend.demo.backend_process import backend
from sam_backend.demo.demo_error import DemoError
from sam_backend.demo.demo_images import DemoImage, make_images
from sam_backend.demo.environment import InstallError, install
from sam_backend.demo.label_studio_process import Credentials, label_studio
from sam_backend.demo.once import as_table, prompt_once
from sam_backend.demo.processes import free_port, stay
from sam_backend.demo.project import (
    BACKEND_TITLE,
    Source,
    built_in_images,
    import_images,
    open_project,
    pre_annotate,
    user_images,
)
from sam_backend.progress import ProgressCallback
from sam_backend.segmenters.model_info import WeightFolders
from sam_backend.segmenters.model_registry import model_info
from sam_backend.segmenters.weights import obtain_checkpoint
from sam_backend.settings import Settings

_REFUSED = (
    "Label Studio does not know the demo's token, because its database and credentials.json do not belong together; "
    "delete the demo's folder to start again."
)
# Tasks that are pre-annotated; Label Studio requests predictions of the others when they are opened.
_PRE_ANNOTATED = 24
# Tasks that are pre-annotated before the welcome text is shown.
_BEFORE_WELCOME = 2


@dataclass(frozen=True)
class Demo:
    """The options of the demo.

    Attributes
    ----------
    images : Path, the folder of the user's images; None for the built-in images.
    model : str, the model's name, for example "nano".
    home : Path, the folder for Label Studio, its data, the log-in and the logs.
    port, backend_port : int, the ports of Label Studio and the backend; if a port is busy, the next free one is used.
    """

    images: Path | None
    model: str
    home: Path
    port: int
    backend_port: int


def run(demo: Demo, *, settings: Settings, once: bool, console: Console) -> None:
    """Run the demo until Ctrl-C, or with `once` until a few prompts were answered and checked.

    Raises
    ------
    SamInspectError
        If something fails; the message says why.
    """
    source = user_images(demo.images) if demo.images else None
    for file in model_info(demo.model).files:
        obtain_checkpoint(file, WeightFolders.of_settings(settings))
    home = demo.home.expanduser().absolute()
    with _ended_by_signals(), _locked(home), ExitStack() as servers:
        with console.status("Looking for Label Studio") as status:
            source = source or built_in_images(home)
            executable = _install(home, status)
            port, backend_port = _ports(demo, console)
            status.update("Starting Label Studio; the first time takes about a minute")
            page, credentials = servers.enter_context(label_studio(executable, home=home, port=port))
            console.print(f"[green]✓[/] Label Studio runs on http://localhost:{port}")
            status.update(f"Starting the backend with model {demo.model}")
            model = servers.enter_context(
                backend(
                    demo.model,
                    settings,
                    home=home,
                    port=backend_port,
                    label_studio=f"http://127.0.0.1:{port}",
                    keep_embeddings=not once,
                )
            )
            console.print(f"[green]✓[/] The backend runs on http://localhost:{backend_port} with model {demo.model}")
            api = servers.enter_context(LabelStudioApi(f"http://127.0.0.1:{port}", credentials.token, _REFUSED))
            project = open_project(api, source)
            tasks = import_images(api, project, source, _progress(status))
            connection = api.connect_backend(project, f"http://127.0.0.1:{backend_port}", BACKEND_TITLE)
            connected = _ConnectedProject(api, project, connection, tasks, home)
            console.print(f"[green]✓[/] Project {source.title} holds {len(tasks)} images and asks the backend")
            if not once:
                _pre_annotate(connected, tasks[:_BEFORE_WELCOME], status)
        if once:
            own = next(make_images()) if demo.images is None else None
            _prompt(connected, console, image=own, file=source.files[0], model=demo.model)
        else:
            with suppress(KeyboardInterrupt):
                console.print(_welcome(f"http://localhost:{port}/projects/{project}", tasks[0], source, credentials))
                with console.status("") as status:
                    rest = tasks[_BEFORE_WELCOME:_PRE_ANNOTATED]
                    if late := pre_annotate(api, project, rest, _progress(status)):
                        console.print(f"[yellow]No pre-annotation came for {', '.join(task.name for task in late)}.[/]")
                stay({"Label Studio": page, "The backend": model}, home / "logs")


@dataclass(frozen=True)
class _ConnectedProject:
    """A project of a running Label Studio, with images and a connected backend."""

    api: LabelStudioApi
    project: int
    connection: int
    tasks: list[DemoTask]
    home: Path


def _prompt(connected: _ConnectedProject, console: Console, *, image: DemoImage | None, file: Path, model: str) -> None:
    with console.status("") as status:
        # The first task is pre-annotated last, so that its first click really has to encode the image.
        _pre_annotate(connected, connected.tasks[1:_PRE_ANNOTATED], status)
        status.update("Prompting")
        rows = prompt_once(connected.api, connected.connection, connected.tasks[0], image=image, file=file)
        _pre_annotate(connected, connected.tasks[:1], status)
    console.print(f"[green]✓[/] {min(len(connected.tasks), _PRE_ANNOTATED)} tasks are pre-annotated")
    console.print(as_table(rows, model=model))


def _pre_annotate(connected: _ConnectedProject, tasks: list[DemoTask], status: Status) -> None:
    if unpredicted := pre_annotate(connected.api, connected.project, tasks, _progress(status)):
        names = ", ".join(task.name for task in unpredicted)
        raise DemoError(f"No pre-annotation came for {names}; {connected.home / 'logs' / 'backend.log'} says why.")


def _progress(status: Status) -> ProgressCallback:
    return lambda done, total, doing="", /: status.update(f"{doing}: {done} of {total}")


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


def _welcome(url: str, task: DemoTask, source: Source, credentials: Credentials) -> Panel:
    return Panel(
        f"Open     [link]{url}/data?task={task.id}[/link]\n"
        f"Log in   {credentials.user}   {credentials.password}\n\n"
        "1. Switch on Auto-Annotation, below the image.\n"
        "2. In the toolbar beside the image, pick the last tool: the smart key point.\n"
        f"3. Press 1 for the label {source.labels[0]}, and Ctrl+click the defect: its mask appears.\n"
        "4. Not quite? Press 1 again and Ctrl+click what is missing, or Ctrl+Alt+click what is too much.\n"
        "5. Accept with the green tick, and submit.\n\n"
        "Grey masks are the model's own proposals: Ctrl clicks through them. You can also select\n"
        "one and press the key of its label under Mask, or delete it with Backspace.\n"
        "For a box, choose the smart rectangle beside the smart key point.\n\n"
        "Ctrl-C ends the demo; everything is kept.",
        title="SAM Inspect",
        expand=False,
    )


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Lock the folder, because two Label Studios would damage their common SQLite file."""
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DemoError(f"A demo runs in {home} already; end it, or give another --home.") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Treat a termination signal and a closed terminal like Ctrl-C; ignore further signals during the clean-up."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    earlier = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
