"""Tuned weights on disk: the versions of each model, which version serves, and the way back. Needs no PyTorch."""

from __future__ import annotations

import json
import logging
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from sam_backend.files import make_folder, write_whole
from sam_backend.finetune.version_record import (
    Version,
    VersionError,
    folder_name,
    hash_files,
    read_record,
    verify_files,
    write_record,
)

__all__ = ["SHIPPED", "VERSIONS", "Serving", "Version", "VersionError", "Versions"]

logger = logging.getLogger(__name__)

SHIPPED = "shipped"
"""The name of the version that is not tuned: nano as it ships, or SAM as it is published."""

VERSIONS = "models"
"""Name of the folder of all versions, in `Settings.home`."""

_CURRENT = "current.json"
_LOCK_TIMEOUT = 30.0
"""Seconds to wait for another process that changes the versions of a model, which takes it milliseconds."""

_NAME = re.compile(r"(?P<slug>.+)-(?P<number>\d{4,})")


@dataclass(frozen=True)
class Serving:
    """What serves of a model.

    Attributes
    ----------
    name : str, the version, or `SHIPPED`.
    folder : Path or None, the folder of its weights, for `load_segmenter`; None for the shipped ones.
    problem : str, why it is not the version that was promoted; empty if it is.
    """

    name: str
    folder: Path | None
    problem: str = ""


class Versions:
    """The versions of all models in one folder, which processes on one machine may share.

    A damaged version costs that version: it is never served, and `problems` names it.

    Parameters
    ----------
    folder : Path. `<folder>/<model>/<version>/` holds weights and `version.json`. `<folder>/<model>/current.json` says
        which version serves and which ones served before; it is replaced as a whole.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def all(self) -> list[Version]:
        """Return all versions whose records are sound, the models in the order of their names, the oldest first."""
        return self._read_all()[0]

    def problems(self, model: str | None = None) -> list[str]:
        """Return one sentence for each damaged record and each damaged `current.json`, of one model or of all."""
        _, problems = self._read_all(model)
        for path in sorted(self.folder.glob(f"{folder_name(model) if model else '*'}/{_CURRENT}")):
            try:
                _read_history(path)
            except VersionError as error:
                problems.append(str(error))
        return problems

    def current(self, model: str) -> str:
        """Return the name of the version of a model that was promoted last, or `SHIPPED`.

        Raises
        ------
        VersionError
            If the file that says so is damaged.
        """
        return self._history(model)[-1]

    def serving(self, model: str) -> Serving:
        """Return what serves of a model, its files verified; the shipped weights if the promoted ones are damaged."""
        try:
            name = self.current(model)
            return Serving(name, None if name == SHIPPED else self.verified(name))
        except VersionError as error:
            return Serving(SHIPPED, None, f"The shipped {model} serves, not the version that was promoted. {error}")

    def checkpoint(self, model: str) -> Path | None:
        """Return the folder of the weights that serve, for `load_segmenter`; None for the shipped ones.

        If the promoted version is damaged, this is logged, and the shipped ones serve.
        """
        serving = self.serving(model)
        if serving.problem:
            logger.warning("%s", serving.problem)
        return serving.folder

    def damage(self, version: Version) -> str:
        """Return what is wrong with the files of a version, one sentence; empty if nothing."""
        try:
            self.verified(version.name)
        except VersionError as error:
            return str(error)
        return ""

    def folder_of(self, name: str) -> Path:
        """Return the folder of a version.

        Raises
        ------
        VersionError
            If there is no such version, or its record is damaged.
        """
        match = _NAME.fullmatch(name)
        folder = self.folder / match["slug"] / name if match and Path(name).name == name else None
        if folder is None or not folder.is_dir():
            known = [*(version.name for version in self.all()), SHIPPED]
            raise VersionError(f"There is no version {name!r}; there are {', '.join(known)}.")
        read_record(folder)
        return folder

    def verified(self, name: str) -> Path:
        """Return the folder of a version whose files are all there and unchanged.

        Raises
        ------
        VersionError
            If there is no such version, or its record or a file is damaged.
        """
        folder = self.folder_of(name)
        verify_files(folder, read_record(folder))
        return folder

    def add(self, version: Version, files: Path) -> Version:
        """Keep a folder of weights as the next version of its model, whole or not at all; return the named version.

        Parameters
        ----------
        version : Version without a name and without files.
        files : Path, the folder of `staging`, which is moved.

        Raises
        ------
        VersionError
            If there are no weights in the folder.
        OSError
            If the record cannot be written.
        """
        home = self._folder_of(version.model)
        hashes = hash_files(files)
        with self._locked(version.model):
            numbers = [int(match["number"]) for path in home.iterdir() if (match := _NAME.fullmatch(path.name))]
            name = f"{home.name}-{max(numbers, default=0) + 1:04d}"
            created = datetime.now(UTC).isoformat(timespec="seconds")
            made = replace(version, name=name, created=created, files=hashes)
            write_record(files, made)
            files.rename(home / name)
        return made

    @contextmanager
    def staging(self, model: str) -> Iterator[Path]:
        """Yield an empty folder of one's own on the same disk; it is deleted afterwards unless `add` has moved it.

        A lock file beside it shows that its owner lives; the folders of owners that are gone are deleted.
        """
        home = self._folder_of(model) / ".staging"
        folder = home / secrets.token_hex(8)
        lock = FileLock(home / f"{folder.name}.lock", timeout=0)
        with self._locked(model):
            _sweep(home)
            make_folder(folder)
            lock.acquire()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()
            with suppress(OSError):
                Path(lock.lock_file).unlink()

    def promote(self, name: str, model: str | None = None) -> str:
        """Let a version serve from now on; return the name of the version that served before.

        Its files are verified. Whoever promotes it has loaded it before: see `served_version.promote`.

        Parameters
        ----------
        name : str, a version, or `SHIPPED` together with `model`.
        model : str or None, needed only for `SHIPPED`.

        Raises
        ------
        VersionError
            If there is no such version, or it is damaged.
        """
        if name != SHIPPED:
            model = read_record(self.verified(name)).model
        if model is None:
            raise VersionError(f"Name the model whose {SHIPPED} version is meant.")
        with self._locked(model):
            try:
                history = self._history(model)
            except VersionError as error:
                # What served before cannot be known; with a damaged file, the shipped weights serve.
                logger.warning("%s It is written again.", error)
                history = [SHIPPED]
            if history[-1] != name:
                self._write(model, [*history, name])
            elif history == [SHIPPED]:
                self._write(model, history)
        return history[-1]

    def roll_back(self, model: str) -> tuple[str, str]:
        """Let the previous version serve again; return the names of the version before and of the one that serves now.

        A damaged version is passed over.

        Raises
        ------
        VersionError
            If nothing was promoted, or the file that says what was promoted is damaged.
        """
        with self._locked(model):
            history = self._history(model)
            if len(history) < 2:
                raise VersionError(f"{model} serves as it is {SHIPPED}; there is no version before it to go back to.")
            kept = history[:-1]
            while kept[-1] != SHIPPED:
                try:
                    self.verified(kept[-1])
                    break
                except VersionError as error:
                    logger.warning("%s is passed over: %s", kept[-1], error)
                    kept = kept[:-1]
            self._write(model, kept)
        return history[-1], kept[-1]

    def _read_all(self, model: str | None = None) -> tuple[list[Version], list[str]]:
        versions, problems = [], []
        for folder in sorted(self.folder.glob(f"{folder_name(model) if model else '*'}/*")):
            if not _NAME.fullmatch(folder.name) or not folder.is_dir():
                continue
            try:
                versions.append(read_record(folder))
            except VersionError as error:
                problems.append(str(error))
        return versions, problems

    def _folder_of(self, model: str) -> Path:
        return self.folder / folder_name(model)

    @contextmanager
    def _locked(self, model: str) -> Iterator[None]:
        home = self._folder_of(model)
        make_folder(home)
        lock = FileLock(home / ".lock", timeout=_LOCK_TIMEOUT)
        try:
            lock.acquire()
        except Timeout:
            raise VersionError(
                f"Another process has held {lock.lock_file} for {_LOCK_TIMEOUT:.0f} s; end it, and try again."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _history(self, model: str) -> list[str]:
        """Return the versions in the order in which they served, `SHIPPED` first."""
        return [SHIPPED, *_read_history(self._folder_of(model) / _CURRENT)]

    def _write(self, model: str, history: list[str]) -> None:
        write_whole(self._folder_of(model) / _CURRENT, json.dumps({"history": history[1:]}).encode())


def _read_history(path: Path) -> list[str]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise VersionError(
            f"{path}, which says what was promoted, cannot be read: {error.strerror or error}."
        ) from error
    except (ValueError, RecursionError):
        content = None
    history = content.get("history") if isinstance(content, dict) else None
    if not isinstance(history, list) or not all(isinstance(name, str) for name in history):
        raise VersionError(
            f"{path}, which says what was promoted, is damaged, so {SHIPPED} weights serve; delete it, and promote the "
            "version again with sam-inspect models promote."
        )
    return history


def _sweep(home: Path) -> None:
    """Delete what trainings that are gone left behind; the caller holds the model's lock."""
    for path in list(home.glob("*")):
        if path.suffix == ".lock":
            continue
        lock = FileLock(home / f"{path.name}.lock", timeout=0)
        try:
            with lock:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        except (Timeout, OSError):
            continue
        with suppress(OSError):
            Path(lock.lock_file).unlink()
