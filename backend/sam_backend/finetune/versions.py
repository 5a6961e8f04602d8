"""Tuned weights on disk: the versions of each model, which version serves, and the way back. Needs no PyTorch."""

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
"""The name of the version that is not tuned: nano as it ships, or SAM as it is published."""

VERSIONS = "models"
"""Name of the folder of all versions, in `Settings.home`."""

_RECORD = "version.json"
_NAME = re.compile(r"(?P<slug>.+)-(?P<number>\d{4})")


class VersionError(SamInspectError):
    """There is no such version, or no earlier version to go back to."""


@dataclass(frozen=True)
class Version:
    """The record of tuned weights.

    Attributes
    ----------
    name : str, `<model>-<number>`, for example "nano-0003".
    model : str, the model that was tuned.
    model_version : str, the version that Label Studio shows, for example "nano-cca3e915".
    parent : str, the version that it was tuned from.
    created : str, the time in UTC, ISO 8601.
    data : str, what it learned from, as users call it.
    reason : str, the gate's reason for passing it or not.
    passed : bool, whether the gate passed it.
    metrics : dict, `protocol.metric` -> [before, after] on held-out images.
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
    """The versions of all models in one folder, which processes on one machine may share.

    Parameters
    ----------
    folder : Path. `<folder>/<model>/<version>/` holds weights and `version.json`. `<folder>/<model>/current.json` says
        which version serves and which ones served before; it is replaced as a whole.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[Version]:
        """Return all versions, the models in the order of their names, the oldest version of a model first."""
        return [_read(path) for path in sorted(self._folder.glob(f"*/*/{_RECORD}"))]

    def current(self, model: str) -> str:
        """Return the name of the version of a model that serves, or `SHIPPED`."""
        return self._history(model)[-1]

    def checkpoint(self, model: str) -> Path | None:
        """Return the folder of the weights that serve, for `load_segmenter`; None for the shipped ones.

        Raises
        ------
        VersionError
            If the folder of the version that should serve is missing.
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
        """Keep a folder of weights as the next version of its model, whole or not at all; return the named version.

        Parameters
        ----------
        version : Version without a name.
        files : Path, the folder of `staging`, which is moved.
        """
        home = self._folder_of(version.model)
        with self._locked(version.model):
            numbers = [int(match["number"]) for path in home.iterdir() if (match := _NAME.fullmatch(path.name))]
            name = f"{home.name}-{max(numbers, default=0) + 1:04d}"
            made = replace(version, name=name, created=datetime.now(UTC).isoformat(timespec="seconds"))
            write_whole(files / _RECORD, json.dumps(asdict(made), indent=1).encode())
            files.rename(home / name)
        return made

    @contextmanager
    def staging(self, model: str) -> Iterator[Path]:
        """Yield an empty folder on the same disk for weights; it is deleted afterwards unless `add` has moved it."""
        folder = self._folder_of(model) / ".staging"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def promote(self, name: str, model: str | None = None) -> str:
        """Let a version serve from now on; return the name of the version that served before.

        Parameters
        ----------
        name : str, a version, or `SHIPPED` together with `model`.
        model : str or None, needed only for `SHIPPED`.

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
        """Let the previous version serve again; return the names of the version before and of the one that serves now.

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
        """Return the versions in the order in which they served, `SHIPPED` first."""
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
