"""Label Studio as a child process: SQLite, data and log-in in the demo's folder, reachable from this machine only."""

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from sam_backend.demo.demo_error import DemoError
from sam_backend.demo.processes import running
from sam_backend.files import write_whole

USER = "demo@sam-inspect.local"
# Seconds. The first start creates the database: about 30 s on a laptop, several times that on a busy machine.
_START_TIMEOUT = 300.0
# Label Studio gets no other variable of ours: it also reads plain HOST, USERNAME or PORT, and a proxy would receive its
# requests to a backend on this machine.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")


@dataclass(frozen=True)
class Credentials:
    """The demo's user, password and API token."""

    user: str
    password: str
    token: str

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"


def load_credentials(home: Path) -> Credentials:
    """Return the log-in stored under `home`; it is created at random the first time and readable by its owner only.

    Raises
    ------
    DemoError
        If the stored log-in is damaged.
    """
    file = home / "credentials.json"
    if file.is_file():
        try:
            return Credentials(**json.loads(file.read_text()))
        except (ValueError, TypeError):
            raise DemoError(
                f"{file} should hold the demo's log-in and does not; delete {home} to start again."
            ) from None
    credentials = Credentials(USER, secrets.token_urlsafe(9), secrets.token_hex(20))
    write_whole(file, json.dumps(asdict(credentials)).encode(), private=True)
    return credentials


def environment(data: Path, credentials: Credentials) -> dict[str, str]:
    """Return the environment variables with which Label Studio starts."""
    return {
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
        "LABEL_STUDIO_BASE_DATA_DIR": str(data.absolute()),
        "LABEL_STUDIO_USERNAME": credentials.user,
        "LABEL_STUDIO_PASSWORD": credentials.password,
        "LABEL_STUDIO_USER_TOKEN": credentials.token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        # Without these two, it refuses a backend on this machine and the webhook to it.
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
        # No requests to its makers.
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def label_studio(executable: Path, *, home: Path, port: int) -> Iterator[tuple[subprocess.Popen[bytes], Credentials]]:
    """Run Label Studio on `port` of this machine with its data under `home`, until the block ends."""
    credentials = load_credentials(home)
    data = home / "label-studio"
    with running(
        "Label Studio",
        [str(executable), "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)],
        environment=environment(data, credentials),
        log=home / "logs" / "label-studio.log",
        is_ready=lambda: _answers(f"http://127.0.0.1:{port}/health"),
        timeout=_START_TIMEOUT,
    ) as process:
        yield process, credentials


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False
