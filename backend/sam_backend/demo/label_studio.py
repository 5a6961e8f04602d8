"""A Label Studio of the demo's own: SQLite, its data and log-in in the demo's folder, open to this machine only."""

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from sam_backend.demo.errors import DemoError
from sam_backend.demo.processes import running

USER = "demo@sam-inspect.local"
# The first start makes the database: about 30 s on a laptop, several times that on a busy machine.
_PATIENCE = 300.0
# Nothing else of our environment reaches it: Label Studio reads plain HOST, USERNAME or PORT, too, and a
# proxy would swallow its requests to a backend on this machine.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")


@dataclass(frozen=True)
class Credentials:
    """The demo's log-in and API token."""

    user: str
    password: str
    token: str

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"


def load_credentials(home: Path) -> Credentials:
    """Return the log-in kept under `home`, made at random the first time and readable by its owner only."""
    file = home / "credentials.json"
    if file.is_file():
        try:
            return Credentials(**json.loads(file.read_text()))
        except (ValueError, TypeError):
            raise DemoError(
                f"{file} should hold the demo's log-in and does not; delete {home} to begin anew."
            ) from None
    credentials = Credentials(USER, secrets.token_urlsafe(9), secrets.token_hex(20))
    home.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".tmp")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump(asdict(credentials), stream)
    unfinished.replace(file)
    return credentials


def environment(data: Path, credentials: Credentials) -> dict[str, str]:
    """Return the environment in which Label Studio starts."""
    return {
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
        "LABEL_STUDIO_BASE_DATA_DIR": str(data.absolute()),
        "LABEL_STUDIO_USERNAME": credentials.user,
        "LABEL_STUDIO_PASSWORD": credentials.password,
        "LABEL_STUDIO_USER_TOKEN": credentials.token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        # Without these two it refuses a backend on this machine, and the webhook to it.
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
        # No calls home.
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
        patience=_PATIENCE,
    ) as process:
        yield process, credentials


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False
