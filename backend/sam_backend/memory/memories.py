"""The memories of all projects of an installation."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from cachetools import LRUCache

from sam_backend.files import name_on_disk, write_whole
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.memory.vector_cache import VectorCache

FOLDER = "memory"
"""Name of the folder of all memories in the home folder."""

_OPEN = 64
"""Memories that are kept open; a memory that is opened again costs a few milliseconds."""

_UID = "uid"
"""Name of the file that names the project of a folder whose name does not."""


class Memories:
    """The memories of all projects. Safe to share between threads.

    Parameters
    ----------
    home : Path of the home folder, which survives a restart.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / FOLDER
        self._open: LRUCache[str, ProjectMemory] = LRUCache(_OPEN)
        self._vectors = VectorCache()
        self._lock = threading.Lock()

    def of(self, project: str) -> ProjectMemory:
        """Return the memory of a project.

        Parameters
        ----------
        project : str, the project's uid, `<project id>.<unix time of its creation>`.
        """
        with self._lock:
            memory = self._open.get(project)
            if memory is None:
                memory = ProjectMemory(self._folder_of(project), self._home, self._vectors)
                self._open[project] = memory
            return memory

    def projects(self) -> list[str]:
        """Return the uids of all projects that have a memory."""
        return sorted(_uid(path) for path in self._folder.glob("*") if path.is_dir())

    def keep_name(self, project: str) -> None:
        """Keep the uid of a project whose folder does not show it; OSError if it cannot be written."""
        folder = self._folder_of(project)
        if unquote(folder.name) != project and not (folder / _UID).exists():
            write_whole(folder / _UID, project.encode(errors="surrogatepass"))

    def _folder_of(self, project: str) -> Path:
        earlier = quote(project, safe="", errors="replace")
        if earlier.strip(".") and len(earlier) < 256:
            # The version before named its folders so.
            with suppress(OSError):
                if (self._folder / earlier).is_dir():
                    return self._folder / earlier
        return self._folder / name_on_disk(project)


def _uid(folder: Path) -> str:
    try:
        return (folder / _UID).read_bytes().decode(errors="replace")
    except OSError:
        return unquote(folder.name)
