"""The one settings object: environment variables `SAM_INSPECT_*`, with defaults that work on a laptop."""

from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from platformdirs import user_cache_path, user_data_path
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from sam_backend.errors import SamInspectError


class Focus(StrEnum):
    """When a model takes a second look, at a crop around what is small in the image.

    AUTO: with the models that it was measured to help, where it was measured to help. ON: with every model, wherever a
    crop is smaller than the image. OFF: never.
    """

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class Settings(BaseSettings):
    """Settings of the service and the command line; every field is read from `SAM_INSPECT_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="SAM_INSPECT_", env_ignore_empty=True, extra="ignore")

    model: str = Field("nano", description="The model that answers, where no option names another.")
    weights: Path | None = Field(None, description="Folder in which official checkpoints are looked for first.")
    home: Path = Field(
        default_factory=lambda: user_data_path("sam-inspect"), description="What must survive a restart."
    )
    cache: Path = Field(
        default_factory=lambda: user_cache_path("sam-inspect"), description="What can be computed or fetched again."
    )
    basic_auth_user: str | None = Field(None, description="User name that Label Studio must give.")
    basic_auth_pass: SecretStr | None = Field(None, description="Password that Label Studio must give.")
    label_studio_url: str | None = Field(None, description="Label Studio, for projects that never called /setup.")
    label_studio_api_key: SecretStr | None = Field(
        None, description="Token of that Label Studio, legacy or personal; wins over the one of /setup."
    )
    focus: Focus = Field(Focus.AUTO, description="When to look a second time, at a crop: auto, on, off.")
    image_timeout: float = Field(10.0, gt=0, description="Seconds that an image's server has to answer.")
    max_image_pixels: int = Field(200_000_000, gt=0, description="Images larger than this are refused.")
    embedding_memory_mb: int = Field(512, gt=0, description="Memory for embeddings of recently seen images.")
    embedding_disk_mb: int = Field(4096, ge=0, description="Disk for embeddings; 0 keeps none on disk.")


@lru_cache
def settings() -> Settings:
    """Return the settings of this process, read once from the environment."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = error.errors()[0]
        name = f"SAM_INSPECT_{'_'.join(str(part) for part in wrong['loc'])}".upper()
        raise SamInspectError(f"{name} is {wrong['input']!r}: {wrong['msg']}; set it right, or leave it out.") from None
