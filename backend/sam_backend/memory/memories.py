"""The memories of all projects of an installation."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from cachetools import Cache, LRUCache

from sam_backend.files import name_on_disk, write_whole
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.memory.vector_cache import VectorCache

logger = logging.getLogger(__name__)

FOLDER = "memory"
"""Name of the folder of all memories in the home folder."""

_OPEN = 64
"""Memories that are kept open; a memory that is opened again costs a few milliseconds."""

_UID = "uid"
"""Name of the file that names the project of a folder whose name does not."""

_OWNER = "server"
"""Name of the file that holds the identity of the Label Studio that a memory belongs to."""

_TITLE = "title"
"""Name of the file that holds the title of the project."""

_AT = "@"
"""Between the project and the Label Studio in the name of a folder; in no uid, because there it is encoded."""


class Memories:
    """The memories of all projects. Safe to share between threads.

    A memory belongs to the Label Studio that the project was known with when it began. A project of the same uid in
    another Label Studio has a memory of its own.

    Parameters
    ----------
    home : Path of the home folder, which survives a restart.
    servers : ServerRegistry, knows the Label Studio of each project; None where all are of one.
    """

    def __init__(self, home: Path, servers: ServerRegistry | None = None) -> None:
        self._home = home
        self._folder = home / FOLDER
        self._servers = servers
        self._open: LRUCache[Path, ProjectMemory] = LRUCache(_OPEN)
        self._vectors = VectorCache()
        self._told: set[Path] = set()
        self._lock = threading.Lock()

    def of(self, project: str) -> ProjectMemory:
        """Return the memory of a project.

        Parameters
        ----------
        project : str, the project's uid, `<project id>.<unix time of its creation>`.
        """
        folder = self._folder_of(project)
        with self._lock:
            memory = self._open.get(folder)
            if memory is None:
                memory = self._open[folder] = ProjectMemory(folder, self._home, self._vectors, may_lag=True)
            return memory

    def look_at(self, project: str) -> ProjectMemory:
        """Return the memory of a project, which stays closed if it is: who looks at all projects closes none of them.

        Parameters
        ----------
        project : str, the project's uid.
        """
        folder = self._folder_of(project)
        with self._lock:
            if folder in self._open:
                # Not as the one that was used last.
                return Cache.__getitem__(self._open, folder)
        return ProjectMemory(folder, self._home, self._vectors)

    def all_of(self, project: str) -> list[ProjectMemory]:
        """Return the memories of a project in all Label Studios that it was known with."""
        folders = [path for path in self._folder.glob("*") if path.is_dir() and _uid(path) == project]
        return [ProjectMemory(folder, self._home, self._vectors) for folder in sorted(folders)]

    def projects(self) -> list[str]:
        """Return the uids of all projects that have a memory; a folder whose name is no text is none of ours."""
        return sorted({_uid(path) for path in self._folder.glob("*") if path.name.isprintable() and path.is_dir()})

    def problem(self) -> str:
        """Return why none of the projects is known, one sentence; "" where their folder can be read or is missing."""
        try:
            with os.scandir(self._folder):
                return ""
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"{self._folder}, which holds what projects have learnt, cannot be read: {error.strerror or error}."

    def keep_owner(self, project: str) -> None:
        """Keep whose the memory of a project is; OSError if that cannot be written."""
        folder, identity = self._folder_of(project), self._identity(project)
        if unquote(folder.name.partition(_AT)[0]) != project and not (folder / _UID).exists():
            write_whole(folder / _UID, project.encode(errors="surrogatepass"))
        if identity and not (folder / _OWNER).exists():
            write_whole(folder / _OWNER, identity.encode())

    def keep_title(self, project: str, title: str) -> None:
        """Keep the title of a project, for people; OSError if that cannot be written."""
        if title and title != self.title(project):
            write_whole(self._folder_of(project) / _TITLE, title.encode(errors="replace"))

    def title(self, project: str) -> str:
        """Return the title of a project; "" where it is not known."""
        return _read(self._folder_of(project) / _TITLE)

    def _identity(self, project: str) -> str:
        """Return the identity of the Label Studio that a project connected from; "" where it never did."""
        server = self._servers.registered(project) if self._servers else None
        return server.identity if server else ""

    def _folder_of(self, project: str) -> Path:
        folder, identity = self._first_folder_of(project), self._identity(project)
        owner = _read(folder / _OWNER) if identity else ""
        if owner in ("", identity):
            return folder
        own = folder.with_name(f"{folder.name}{_AT}{identity}")
        if not own.exists() and own not in self._told:
            self._told.add(own)
            logger.warning(
                "Project %s is now of another Label Studio than before; it begins without examples, and those of the "
                "other stay in %s. If it is the same one at another address, run sam-inspect memory rebuild.",
                project,
                folder,
            )
        return own

    def _first_folder_of(self, project: str) -> Path:
        earlier = quote(project, safe="", errors="replace")
        if earlier.strip(".") and len(earlier) < 256:
            # The version before named its folders so.
            with suppress(OSError):
                if (self._folder / earlier).is_dir():
                    return self._folder / earlier
        return self._folder / name_on_disk(project)


def _uid(folder: Path) -> str:
    return _read(folder / _UID) or unquote(folder.name.partition(_AT)[0])


def _read(path: Path) -> str:
    """Return the text of a small file; "" where there is none."""
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
