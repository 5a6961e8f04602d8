"""The one settings object: from the environment (`SAM_INSPECT_*`), a settings file and defaults, in this order."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path, user_config_path, user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from sam_backend.errors import SamInspectError, brief
from sam_backend.log_format import LogFormat
from sam_backend.names import did_you_mean
from sam_backend.second_look import Focus
from sam_backend.stores import is_collapsed_address

PREFIX = "SAM_INSPECT_"
FILE_NAME = "sam-inspect.toml"
FILE_VARIABLE = PREFIX + "SETTINGS"

_MOST = 10**12

_PATHS = ("weights", "home", "cache", "ca_bundle", "pipeline")


class Settings(BaseSettings):
    """Settings of the service and of all commands; docs/reference/settings.md lists them.

    The constructor reads the environment only. `read_settings` reads a settings file as well.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore")

    model: str = Field("nano", description="The model of every command that takes `--model`.")
    weights: Path | None = Field(None, description="Folder that is searched first for official checkpoints.")
    mirror: str | None = Field(
        None,
        description="Address that stands for the servers of all downloads of weights, for example "
        "`http://mirror.example.com/models`; it has the same paths as they.",
    )
    hub_token: SecretStr | None = Field(
        None, description="Token of the Hugging Face Hub, for models whose licence must be accepted there."
    )
    home: Path = Field(
        default_factory=lambda: user_data_path("sam-inspect"),
        description="Folder for data that must survive a restart: memories, tuned models, addresses of Label Studio.",
    )
    cache: Path = Field(
        default_factory=lambda: user_cache_path("sam-inspect"),
        description="Folder for data that can be computed or downloaded again.",
    )
    basic_auth_user: str | None = Field(None, description="User name that `serve` asks of Label Studio.")
    basic_auth_pass: SecretStr | None = Field(None, description="Password that `serve` asks of Label Studio.")
    label_studio_url: str | None = Field(
        None, description="Address of Label Studio, for projects that never connected to this backend."
    )
    label_studio_public_url: str | None = Field(
        None,
        description="Address by which people and that Label Studio itself know it (its `LABEL_STUDIO_HOST`), if this "
        "backend reaches it better at `label_studio_url`, for example inside Docker.",
    )
    label_studio_api_key: SecretStr | None = Field(
        None,
        description="Token of that Label Studio, legacy or personal; it is used instead of the token that "
        "Label Studio sends.",
    )
    ca_bundle: Path | None = Field(
        None,
        description="File of certificates (PEM) that are trusted too, for a Label Studio or an image server with a "
        "certificate of the company's own.",
    )
    allow_host: str | None = Field(
        None,
        description="Hosts and networks beside the project's Label Studio and public addresses that images may be "
        "fetched from, for example `images.example.com 10.0.0.5:8080 192.168.0.0/16`.",
    )
    stores: str | None = Field(
        None,
        description="Folders on stores, for example `s3://bucket/line1 gs://scans`, from which images are read with "
        "the rights of this machine, not through Label Studio.",
    )
    focus: Focus = Field(
        Focus.AUTO,
        description="When a model takes a second look, at a crop around a small object: `auto` (where it was measured "
        "to help), `on`, `off`.",
    )
    pipeline: Path | None = Field(
        None,
        description="File of a pipeline (TOML), whose steps propose the masks of pre-annotations; without it, the "
        "project's examples do.",
    )
    proposer_every: int = Field(
        25,
        ge=0,
        description="New accepted images after which `serve` trains a project's proposer again; 0 never does it by "
        "itself.",
    )
    refiner_every: int = Field(
        0,
        ge=0,
        description="New accepted images after which `serve` tunes a project's refiner again; 0 never does it by "
        "itself.",
    )
    correct_in_place: bool = Field(
        True,
        description="Whether a click or a box about an existing mask corrects that mask; if not, every prompt makes a "
        "new region.",
    )
    polygon_tolerance: float = Field(
        1.0,
        ge=0,
        allow_inf_nan=False,
        description="Pixels by which an answered polygon or vector may differ from its mask; 0 keeps every corner. The "
        "attribute `tolerance` of a control in the labeling config comes first.",
    )
    image_timeout: float = Field(
        10.0, gt=0, le=86400, description="Seconds within which the server of an image must answer; at most a day."
    )
    max_image_pixels: int = Field(200_000_000, gt=0, description="Largest image in pixels; larger ones are refused.")
    large_image_pixels: int = Field(
        20_000_000,
        gt=0,
        description="Pixels beyond which an image is large: it is kept on disk, and read and encoded in parts.",
    )
    large_image_disk_mb: int = Field(
        16384, gt=0, description="Disk in MB for the files of large images, so that they are fetched once."
    )
    max_body_mb: int = Field(
        64, gt=0, description="Largest request in MB; a click carries all masks of its task. Larger ones are refused."
    )
    click_deadline: float = Field(
        60.0, gt=0, lt=100, description="Seconds within which a click is answered; Label Studio gives up after 100."
    )
    max_waiting: int = Field(
        32, ge=0, description="Requests of a kind that may wait for a free thread; further ones are answered 503."
    )
    max_connections: int = Field(
        1024, gt=0, description="Open connections of `serve`; beyond, those that wait for a request are closed."
    )
    log_format: LogFormat = Field(
        LogFormat.TEXT, description="How `serve` writes its log: `text` for people, `json` for programs."
    )
    prefetch: int = Field(
        8, ge=0, description="Next tasks whose images `serve` encodes ahead of each annotator; 0 encodes none ahead."
    )
    worker_cores: int = Field(
        0,
        ge=0,
        description="Cores of each worker of `--cluster` where the model computes on no GPU; 0 takes one, and for a "
        "large model eight.",
    )
    embedding_memory_mb: int = Field(512, gt=0, description="Memory in MB for embeddings of recent images.")
    embedding_disk_mb: int = Field(4096, ge=0, description="Disk in MB for embeddings; 0 keeps none on disk.")

    @field_validator(*_PATHS)
    @classmethod
    def _of_this_machine(cls, path: Path | None) -> Path | None:
        if path is not None and is_collapsed_address(path):
            raise ValueError("a path of this machine is needed, not the address of a store")
        return path

    @field_validator("*")
    @classmethod
    def _of_a_sensible_size(cls, value: object) -> object:
        # Beyond, an index in SQLite or the system takes no such number.
        if isinstance(value, int | float) and value > _MOST:
            raise ValueError(f"a number of at most {_MOST:,} is needed")
        return value

    def environment_of_child(self) -> dict[str, str]:
        """Return the environment for a child process with exactly these settings: it reads no settings file."""
        inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
        values = {name: getattr(self, name) for name in type(self).model_fields}
        own = {PREFIX + name.upper(): _plain(value) for name, value in values.items() if value is not None}
        return inherited | own | {FILE_VARIABLE: os.devnull}


def read_settings(file: Path | None = None) -> Settings:
    """Return the settings: environment, then settings file, then defaults.

    Parameters
    ----------
    file : Path, the settings file (TOML). None for the first that there is of the file that `SAM_INSPECT_SETTINGS`
        names, `sam-inspect.toml` in the working directory, and `sam-inspect.toml` in the user's configuration folder.

    Raises
    ------
    SamInspectError
        If a value is wrong, the file holds an unknown key, or a file that was named cannot be read.
    """
    path = file or _default_file()
    from_file = _values(path) if path else {}
    from_environment = EnvSettingsSource(Settings)()
    try:
        return Settings(**(from_file | from_environment))
    except ValidationError as error:
        wrong = error.errors()[0]
        name = str(wrong["loc"][0])
        where = f"{PREFIX}{name.upper()}" if name in from_environment else f"{path}: {name}"
        secret = Settings.model_fields[name].annotation == (SecretStr | None)
        value = "" if secret else f" is {brief(wrong['input'])}"
        problem = wrong["msg"].removeprefix("Value error, ")
        raise SamInspectError(f"{where}{value}: {problem}; set it right, or leave it out.") from None


def _default_file() -> Path | None:
    named = os.environ.get(FILE_VARIABLE)
    if named:
        return Path(named)
    places = (Path(FILE_NAME), user_config_path("sam-inspect") / FILE_NAME)
    return next((path for path in places if path.is_file()), None)


def _values(path: Path) -> dict[str, Any]:
    """Return the values of a settings file; a relative path in it counts from the file's folder."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SamInspectError(
            f"The settings file {path} cannot be read ({error.strerror}); give the path of a TOML file with --settings "
            f"or {FILE_VARIABLE}."
        ) from None
    except ValueError as error:
        raise SamInspectError(
            f"The settings file {path} is not TOML: {error}; a line is, for example, model = 'nano'."
        ) from None
    known = Settings.model_fields
    for key in values:
        if key not in known:
            raise SamInspectError(
                f"{path}: there is no setting {key!r}; the settings are {', '.join(known)}{did_you_mean(key, known)}"
            )
    for key in _PATHS:
        if isinstance(values.get(key), str) and not is_collapsed_address(Path(values[key])):
            values[key] = path.parent / Path(values[key]).expanduser()
    return values


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
