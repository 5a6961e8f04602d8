"""The registry of the Label Studio servers of all projects, on disk, because `/predict` names only the project."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from filelock import FileLock

from sam_backend.errors import SamInspectError
from sam_backend.files import write_whole
from sam_backend.labelstudio.addresses import shown
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)

_FILE = "servers.json"
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class Server:
    """A Label Studio and its token.

    Attributes
    ----------
    hostname : str, the address, `http(s)://[user:password@]host[:port][/path]` without a slash at the end.
    token : str, a legacy token or personal access token; `repr` hides it. Empty if none is known.
    told : str, the address that Label Studio gave of itself; `hostname` is another where the settings replace it.
    identity : str, 12 hexadecimal digits that stay the same when the address of a known Label Studio changes. They keep
        apart what belongs to two Label Studios whose projects have the same ids.
    """

    hostname: str
    token: str = field(repr=False)
    told: str = field(default="", compare=False)
    identity: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "told", self.told or self.hostname)
        object.__setattr__(self, "identity", self.identity or hashlib.sha256(self.told.encode()).hexdigest()[:12])

    @property
    def shown(self) -> str:
        """The address for a message: without user and password."""
        return shown(self.hostname)


class ServerRegistry:
    """Project uid -> server, across restarts. Safe to share between threads, and by processes on one machine.

    Parameters
    ----------
    folder : Path, the folder of `servers.json`, which only its owner can read, because it contains tokens.
    url : str, the Label Studio of projects that never called `/setup`. It also replaces a hostname `localhost`, which a
        Label Studio sends if it does not know its own address.
    api_key : str, replaces the token from `/setup`, for the server `url` only.

    Raises
    ------
    SamInspectError
        If there is a key without a server.
    """

    def __init__(self, folder: Path, *, url: str | None = None, api_key: str | None = None) -> None:
        if api_key and not url:
            raise SamInspectError(
                "SAM_INSPECT_LABEL_STUDIO_API_KEY needs SAM_INSPECT_LABEL_STUDIO_URL as well, the server it is for; "
                "set both."
            )
        self._path = folder / _FILE
        self._url = _address(url) if url else None
        self._api_key = api_key
        self._lock = threading.Lock()
        self._servers = self._read()

    @classmethod
    def of_settings(cls, settings: Settings) -> Self:
        """Create the registry from the settings; raises SamInspectError if there is a key without a server."""
        key = settings.label_studio_api_key
        return cls(settings.home, url=settings.label_studio_url, api_key=key.get_secret_value() if key else None)

    def remember(self, project_uid: str, hostname: str, token: str) -> None:
        """Store the server of a project; it is on disk when this returns.

        Parameters
        ----------
        project_uid : str, `<project id>.<Unix time of its creation>`.
        hostname : str, the address of its Label Studio, `http(s)://…`.
        token : str, its token.

        Raises
        ------
        OSError
            If the file cannot be written; the server is then known until the process ends.
        """
        server = Server(_address(hostname), token)
        with self._lock:
            if self._servers.get(project_uid) == server:
                return
            self._servers = self._servers | {project_uid: server}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._path.with_suffix(".lock")):
                # Other processes may have written newer entries.
                self._servers = self._servers | self._read() | {project_uid: server}
                self._write()

    def find(self, project_uid: str) -> Server | None:
        """Return the server of a project after applying the settings; None if it is unknown."""
        with self._lock:
            if project_uid not in self._servers:
                # Another process may have stored it in the meantime.
                self._servers = self._read() | self._servers
            known = self._servers.get(project_uid)
        if known is None or (self._url and urlsplit(known.hostname).hostname in _LOOPBACK):
            if self._url is None:
                return None
            known = Server(self._url, known.token if known else "")
        if self._api_key and self._url == known.hostname:
            return Server(known.hostname, self._api_key)
        return known

    def uids(self, project: str) -> list[str]:
        """Return the known uids of a project, given its id or its uid."""
        with self._lock:
            return sorted(uid for uid in self._servers if project in (uid, uid.partition(".")[0]))

    def _read(self) -> dict[str, Server]:
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            return self._set_aside(error)
        try:
            return {uid: Server(str(known["hostname"]), str(known["token"])) for uid, known in json.loads(text).items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return self._set_aside(error)

    def _set_aside(self, error: Exception) -> dict[str, Server]:
        aside = self._path.with_suffix(".corrupt")
        try:
            self._path.replace(aside)
        except OSError:
            aside = self._path
        # The error's text could contain tokens of the file, so only its type is logged.
        logger.warning(
            "The file of Label Studio servers is unreadable (%s); it is now %s. Projects are known again once their "
            "Label Studio connects.",
            type(error).__name__,
            aside,
        )
        return {}

    def _write(self) -> None:
        servers = {uid: asdict(server) for uid, server in self._servers.items()}
        write_whole(self._path, json.dumps(servers, indent=1).encode(), private=True)


def _address(url: str) -> str:
    return url.strip().rstrip("/")
