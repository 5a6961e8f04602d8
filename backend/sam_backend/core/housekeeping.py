"""What is put in order when a service starts: rights of files from before, and temporary files left by a kill."""

from __future__ import annotations

import logging
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from sam_backend.files import make_folder, remove_stale, sweep, tighten
from sam_backend.finetune.os_errors import os_error_sentence
from sam_backend.finetune.versions import VERSIONS

logger = logging.getLogger(__name__)

_HOME = frozenset({"memory", "finetune", VERSIONS, "demo", "servers.json", "servers.lock", "servers.corrupt"})
_CACHE = frozenset({"answered", "answers", "embeddings", "large", "prefetching", "weights", "sha256.json"})
"""What we make in the home folder and in the cache; everything else there may be somebody else's."""

_OF_OTHERS = "demo"
"""A folder with files of other programs."""


def protect_folders(home: Path, cache: Path) -> None:
    """Make the home folder and the cache the owner's alone; a folder that holds other files keeps its own rights.

    Parameters
    ----------
    home, cache : Path, folders of the settings; they are made where they are missing.
    """
    for folder, own in ((home, _HOME), (cache, _CACHE)):
        try:
            make_folder(folder)
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries]
            for path in folder.iterdir():
                # Tokens first, and nothing of a kill stays.
                remove_stale(path)
            if all(_is_own(name, own) for name in names):
                _chmod(folder)
            for name in names:
                if _is_own(name, own):
                    _chmod(folder / name)
        except OSError as error:
            logger.warning("%s cannot be made this user's alone. %s", folder, os_error_sentence(error))


def tidy(home: Path, cache: Path) -> None:
    """Protect all files below our folders, and remove what a kill left behind; this may take seconds."""
    for folder, own in ((home, _HOME), (cache, _CACHE)):
        for name in sorted(own - {_OF_OTHERS}):
            path = folder / name
            # A folder may vanish meanwhile.
            with suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    tighten(path)
                    if removed := sweep(path):
                        logger.info("%d temporary files were removed from %s", removed, path)
    for aside in (home / "memory").glob("*/*.forgotten"):
        shutil.rmtree(aside, ignore_errors=True)


def _is_own(name: str, own: frozenset[str]) -> bool:
    return name in own or name.startswith("servers.json.")


def _chmod(path: Path) -> None:
    mode = path.lstat().st_mode
    if mode & 0o077 and not stat.S_ISLNK(mode):
        with suppress(PermissionError):
            path.chmod(mode & 0o700)
