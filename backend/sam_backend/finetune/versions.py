"""Tuned weights on disk: what each version is, which one serves, and the way back. Needs no PyTorch."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from sam_backend.errors import SamInspectError
from sam_backend.files import write_whole

SHIPPED = "shipped"
"""The version that is not tuned: nano as it ships, or SAM as it is published."""

VERSIONS = "models"
"""Folder of the versions in the folder of what must survive a restart."""

_RECORD = "version.json"
_NAME = re.compile(r"(?P<slug>.+)-(?P<number>\d{4})")


class VersionError(SamInspectError):
    """There is no such version, or nothing to go back to."""


@dataclass(frozen=True)
class Version:
    """Tuned weights and how they came about.

    Attributes
    ----------
    name : `<model>-<number>`, such as `nano-0003`.
    model : that was tuned.
    model_version : what Label Studio shows when it serves.
    parent : the version it was tuned from.
    created : UTC, ISO 8601.
    data : what it learned from, as a user named it.
    reason : why it was promoted, or why not: the gate's words.
    passed : whether the gate let it through.
    metrics : measured on held-out images; `protocol.metric` -> [before, after].
    """

    name: str
    model: str
    model_version: str = ""
    parent: str = SHIPPED
    created: str = ""
    data: str = ""
    reason: str = ""
    passed: bool = False
    metrics: dict[str, list[float]] = field(default_factory=dict)


class Versions:
    """The versions of all models in one folder. Safe to share by processes on one machine.

    Parameters
    ----------
    folder : `<folder>/<model>/<version>/` holds weights and `version.json`; `<folder>/<model>/current.json` says which
        version serves, and which served before. It is replaced as a whole, so that it is never half written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[Version]:
        """Return every version, oldest first, models in order of their names."""
        return [_read(path) for path in sorted(self._folder.glob(f"*/*/{_RECORD}"))]

    def current(self, model: str) -> str:
        """Return the version of a model that serves, or `SHIPPED`."""
        return self._history(model)[-1]

    def checkpoint(self, model: str) -> Path | None:
        """Return the folder of weights that serve, as `load_segmenter` takes it; None for what ships.

        Raises
        ------
        VersionError
            If the version that should serve is gone.
        """
        name = self.current(model)
        return None if name == SHIPPED else self.folder_of(name)

    def folder_of(self, name: str) -> Path:
        """Return the folder of a version.

        Raises
        ------
        VersionError
            If there is no such version.
        """
        known = {version.name: version for version in self.all()}
        if name not in known:
            raise VersionError(f"There is no version {name!r}; there are {', '.join([*known, SHIPPED])}.")
        return self._folder_of(known[name].model) / name

    def add(self, version: Version, files: Path) -> Version:
        """Keep a folder of weights as the next version of its model, whole or not at all; return it with its name.

        Parameters
        ----------
        version : without a name.
        files : folder that is moved; it must lie on the same disk, as `staging` gives it.
        """
        home = self._folder_of(version.model)
        with self._locked(version.model):
            numbers = [int(found["number"]) for path in home.iterdir() if (found := _NAME.fullmatch(path.name))]
            name = f"{home.name}-{max(numbers, default=0) + 1:04d}"
            made = replace(version, name=name, created=datetime.now(UTC).isoformat(timespec="seconds"))
            write_whole(files / _RECORD, json.dumps(asdict(made), indent=1).encode())
            files.rename(home / name)
        return made

    @contextmanager
    def staging(self, model: str) -> Iterator[Path]:
        """Give an empty folder on the same disk to write weights into; what is not added is deleted."""
        folder = self._folder_of(model) / ".staging"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def promote(self, name: str, model: str | None = None) -> str:
        """Let a version serve from now on; return the one that served before.

        Parameters
        ----------
        name : of a version, or `SHIPPED` together with `model`.
        model : needed for `SHIPPED` alone.

        Raises
        ------
        VersionError
            If there is no such version.
        """
        if name != SHIPPED:
            model = _read(self.folder_of(name) / _RECORD).model
        if model is None:
            raise VersionError(f"Name the model whose {SHIPPED} version is meant.")
        with self._locked(model):
            history = self._history(model)
            if history[-1] != name:
                self._write(model, [*history, name])
        return history[-1]

    def roll_back(self, model: str) -> tuple[str, str]:
        """Let the version before serve again; return the one that served and the one that does now.

        Raises
        ------
        VersionError
            If nothing was promoted.
        """
        with self._locked(model):
            history = self._history(model)
            if len(history) < 2:
                raise VersionError(f"{model} serves as it is {SHIPPED}; there is no version before it to go back to.")
            self._write(model, history[:-1])
        return history[-1], history[-2]

    def _folder_of(self, model: str) -> Path:
        return self._folder / model.replace(":", "_")

    @contextmanager
    def _locked(self, model: str) -> Iterator[None]:
        home = self._folder_of(model)
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / ".lock"):
            yield

    def _history(self, model: str) -> list[str]:
        """Return the versions that served one after the other, `SHIPPED` first."""
        path = self._folder_of(model) / "current.json"
        try:
            history = json.loads(path.read_text(encoding="utf-8"))["history"]
        except FileNotFoundError:
            return [SHIPPED]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise VersionError(f"{path} cannot be read ({error}); delete it, and promote the version again.") from error
        return [SHIPPED, *map(str, history)]

    def _write(self, model: str, history: list[str]) -> None:
        write_whole(self._folder_of(model) / "current.json", json.dumps({"history": history[1:]}).encode())


def _read(record: Path) -> Version:
    try:
        return Version(**json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise VersionError(f"{record} cannot be read ({error}); delete the folder it is in.") from error
