"""The registry of the Label Studio servers of all projects, on disk, because `/predict` names only the project."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.files import write_whole
from sam_backend.labelstudio.addresses import label_studio_address, shown
from sam_backend.labelstudio.transport import Transport
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)

_FILE = "servers.json"
MAX_PROJECTS = 10_000
MAX_UID = 100
_LOCK_TIMEOUT = 2.0
"""Seconds that a request waits for another process that writes the file."""

_HELD = f"another process has held the lock of {_FILE} for {_LOCK_TIMEOUT:g} s"
_LOOPBACK = {"localhost", "127.0.0.1", "::1", "0.0.0.0", "::"}  # noqa: S104 - a name that is compared, not bound


@dataclass(frozen=True)
class Server:
    """A Label Studio and its token.

    Attributes
    ----------
    hostname : str, the address, `http(s)://[user:password@]host[:port][/path]` without a slash at the end.
    token : str, a legacy token or personal access token; `repr` hides it. Empty if none is known.
    announced : str, the address that Label Studio gave of itself; `hostname` is another where the settings replace it.
    identity : str, 12 hexadecimal digits that stay the same when the address of a known Label Studio changes. They keep
        apart what belongs to two Label Studios whose projects have the same ids.
    """

    hostname: str
    token: str = field(repr=False)
    announced: str = field(default="", compare=False)
    identity: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "announced", self.announced or self.hostname)
        object.__setattr__(self, "identity", self.identity or hashlib.sha256(self.announced.encode()).hexdigest()[:12])

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
    public_url : str, another address that `url` gives of itself, which `url` replaces as well.
    api_key : str, replaces the token from `/setup`, for the server `url` only.
    transport : Transport, sends requests to the servers; None for the default.

    Raises
    ------
    SamInspectError
        If there is a key without a server, or the server's address is none.
    """

    def __init__(
        self,
        folder: Path,
        *,
        url: str | None = None,
        public_url: str | None = None,
        api_key: str | None = None,
        transport: Transport | None = None,
    ) -> None:
        if api_key and not url:
            raise SamInspectError(
                "SAM_INSPECT_LABEL_STUDIO_API_KEY needs SAM_INSPECT_LABEL_STUDIO_URL as well, the server it is for; "
                "set both."
            )
        if public_url and not url:
            raise SamInspectError(
                "SAM_INSPECT_LABEL_STUDIO_PUBLIC_URL needs SAM_INSPECT_LABEL_STUDIO_URL as well, the address that "
                "stands for it here; set both."
            )
        self.transport = transport or Transport()
        self._path = folder / _FILE
        self._url = label_studio_address(url, "SAM_INSPECT_LABEL_STUDIO_URL", SamInspectError) if url else None
        public = "SAM_INSPECT_LABEL_STUDIO_PUBLIC_URL"
        self._public_url = label_studio_address(public_url, public, SamInspectError) if public_url else None
        self._api_key = checked_token(api_key, "SAM_INSPECT_LABEL_STUDIO_API_KEY", SamInspectError) if api_key else None
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._servers: dict[str, Server] = {}
        self._unwritten: dict[str, Server] = {}
        """Servers that are not in the file yet."""
        self._seen: tuple[int, ...] | None = None
        """What the file looked like when it was read."""
        self._sweep()
        self._refresh()

    @classmethod
    def of_settings(cls, settings: Settings) -> Self:
        """Create the registry from the settings; raises SamInspectError if they contradict each other."""
        key = settings.label_studio_api_key
        return cls(
            settings.home,
            url=settings.label_studio_url,
            public_url=settings.label_studio_public_url,
            api_key=key.get_secret_value() if key else None,
            transport=Transport.of_settings(settings),
        )

    def remember(self, project_uid: str, hostname: str, token: str) -> None:
        """Store the server of a project; it is on disk when this returns.

        Parameters
        ----------
        project_uid : str, `<project id>.<Unix time of its creation>`.
        hostname : str, the address of its Label Studio, `http(s)://…`.
        token : str, its token.

        Raises
        ------
        BadRequestError
            If the hostname is no address of a Label Studio, the token is none, or too many projects are known.
        OSError
            If the file cannot be written, also because another process holds its lock for 2 s. The server is then
            known until the process ends, and written with the next one.
        """
        address = label_studio_address(hostname, "The hostname of Label Studio")
        token = checked_token(token, "The access token", BadRequestError)
        self._refresh()
        with self._lock:
            known = self._servers.get(project_uid)
            if known and (known.hostname, known.token) == (address, token) and not self._unwritten:
                return
            if known is None and (len(self._servers) >= MAX_PROJECTS or len(project_uid) > MAX_UID):
                raise BadRequestError(
                    f"The project is not remembered: at most {MAX_PROJECTS:,} are, with names of at most {MAX_UID} "
                    f"characters; remove what is not used any more from {self._path}."
                )
            server = Server(address, token, identity=known.identity if known else "")
            self._unwritten[project_uid] = self._servers[project_uid] = server
        self._write()

    def find(self, project_uid: str) -> Server | None:
        """Return the server of a project after applying the settings; None if it is unknown."""
        known = self.registered(project_uid)
        if known is None:
            if self._url is None:
                return None
            known = Server(self._url, "")
        known = replace(known, hostname=self.effective(known.hostname))
        if self._api_key and self._url == known.hostname:
            return replace(known, token=self._api_key)
        return known

    def registered(self, project_uid: str) -> Server | None:
        """Return the server of a project as it was given at `/setup`; None if it never was."""
        # Another process may have stored a server or a token in the meantime.
        self._refresh()
        with self._lock:
            return self._servers.get(project_uid)

    def effective(self, address: str) -> str:
        """Return the address at which a Label Studio is reached: settings replace `localhost` and the public one."""
        replaced = address == self._public_url or urlsplit(address).hostname in _LOOPBACK
        return self._url if self._url and replaced else address

    def is_configured(self, address: str) -> bool:
        """Return whether the operator's settings name this address."""
        return address == self._url

    def uids(self, project: str) -> list[str]:
        """Return the known uids of a project, given its id or its uid."""
        self._refresh()
        with self._lock:
            return sorted(uid for uid in self._servers if project in (uid, uid.partition(".")[0]))

    def _refresh(self) -> None:
        """Read the file if it changed."""
        try:
            state = self._path.stat()
        except OSError:
            return
        seen = (state.st_mtime_ns, state.st_size, state.st_ino)
        with self._lock:
            if seen == self._seen:
                return
            servers = self._read()
            if servers is not None:
                self._servers = servers | self._unwritten
            self._seen = seen

    def _read(self) -> dict[str, Server] | None:
        """Return the servers in the file, None if it is unreadable."""
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
            return {uid: _server(fields) for uid, fields in known.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            self._set_aside(error)
            return None

    def _set_aside(self, error: Exception) -> None:
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

    def _write(self) -> None:
        end = time.monotonic() + _LOCK_TIMEOUT
        if not self._writing.acquire(timeout=_LOCK_TIMEOUT):
            raise TimeoutError(_HELD)
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._file_lock(max(end - time.monotonic(), 0)):
                # Other processes may have written newer entries.
                self._refresh()
                with self._lock:
                    servers, written = self._servers, dict(self._unwritten)
                content = {uid: _fields(server) for uid, server in servers.items()}
                write_whole(self._path, json.dumps(content, indent=1).encode(), private=True)
            with self._lock:
                self._unwritten = {uid: one for uid, one in self._unwritten.items() if written.get(uid) is not one}
        except Timeout:
            raise TimeoutError(_HELD) from None
        finally:
            self._writing.release()

    def _sweep(self) -> None:
        """Remove what a process that was killed while it wrote left behind, because it contains tokens."""
        parts = list(self._path.parent.glob(f"{_FILE}.*.part"))
        if not parts:
            return
        try:
            # Whoever writes holds the lock.
            with self._file_lock(0):
                for part in parts:
                    part.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("Temporary files of Label Studio servers remain in %s: %s", self._path.parent, error)

    def _file_lock(self, timeout: float) -> FileLock:
        return FileLock(self._path.with_suffix(".lock"), timeout=timeout, mode=0o600)


def checked_token(token: str, what: str, error: Callable[[str], Exception]) -> str:
    """Return a token without space around it; raises what `error` makes if it has letters that no token has."""
    token = token.strip()
    if not re.fullmatch(r"[!-~]{0,4000}", token):
        raise error(f"{what} is no token of Label Studio: it has spaces, line ends or other letters, or is too long.")
    return token


def _fields(server: Server) -> dict[str, str]:
    return {"hostname": server.hostname, "token": server.token, "identity": server.identity}


def _server(fields: Mapping[str, object]) -> Server:
    return Server(str(fields["hostname"]), str(fields["token"]), identity=str(fields.get("identity") or ""))
