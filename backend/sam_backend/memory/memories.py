"""The memories of all projects of an installation."""

from __future__ import annotations

import threading
from pathlib import Path
from urllib.parse import quote, unquote

from sam_backend.memory.project_memory import ProjectMemory

FOLDER = "memory"
"""Name of the folder of all memories in the home folder."""


class Memories:
    """The memories of all projects. Safe to share between threads.

    Parameters
    ----------
    home : Path of the home folder, which survives a restart.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER
        self._open: dict[str, ProjectMemory] = {}
        self._lock = threading.Lock()

    def of(self, project: str) -> ProjectMemory:
        """Return the memory of a project.

        Parameters
        ----------
        project : str, the project's uid, `<project id>.<unix time of its creation>`.
        """
        with self._lock:
            if project not in self._open:
                self._open[project] = ProjectMemory(self._folder / quote(project, safe=""))
            return self._open[project]

    def projects(self) -> list[str]:
        """Return the uids of all projects that have a memory."""
        return sorted(unquote(path.name) for path in self._folder.glob("*") if path.is_dir())
