"""The coordinator's settings: each is declared once and has an environment variable, a TOML key and a flag.

Order of precedence: flag (keyword argument of `load`), environment (`NX_DTE_<NAME>`), TOML file, default. The
description of a field is its help text and its documentation.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from nx_dte.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

GIB = 1024**3
MIB = 1024**2
ENV_PREFIX = "NX_DTE_"

Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600)]
LogLevel = Literal["debug", "info", "warning", "error"]


class CoordinatorSettings(BaseSettings):
    """Everything that can be set about a coordinator."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, extra="forbid", env_ignore_empty=True
    )

    listen: str = Field("127.0.0.1:8720", description="HOST:PORT of the API; port 0 picks a free one")
    metrics_listen: str = Field(
        "127.0.0.1:8721", description="HOST:PORT of /metrics; port 0 picks a free one, 'off' serves none"
    )
    data_dir: Path = Field(
        Path(".nx-dte/coordinator"), description="folder of the embedded database, artifacts and first tokens"
    )
    database_url: str | None = Field(
        None, description="SQLAlchemy URL of the store; without it SQLite under the data folder"
    )
    artifacts_url: str | None = Field(
        None, description="s3://, gs://, az:// or file:// URL of the object store; without it the data folder"
    )
    public_url: str | None = Field(
        None, description="address under which clients reach this coordinator, if a proxy does not pass it on"
    )

    read_write_token: SecretStr | None = Field(
        None, description="read-write token of workspace 'default'", min_length=16
    )
    read_only_token: SecretStr | None = Field(
        None, description="read-only token of workspace 'default'", min_length=16
    )
    read_write_token_file: Path | None = Field(None, description="file that holds the read-write token")
    read_only_token_file: Path | None = Field(None, description="file that holds the read-only token")

    artifact_max_bytes: int = Field(4 * GIB, gt=0, description="largest artifact that is accepted")
    request_max_bytes: int = Field(
        64 * MIB, ge=64 * 1024, description="largest JSON request that is accepted, after unpacking"
    )

    lease_s: Seconds = Field(30.0, description="a lease not renewed for this long is reaped")
    heartbeat_s: Seconds = Field(5.0, description="how often agents renew leases and the pinger pings")
    main_silence_s: Seconds = Field(45.0, description="a main job silent for this long is taken for dead")
    explicit_completion_s: Seconds = Field(
        3600.0, description="the same for runs that require explicit completion and run nothing"
    )
    max_lost_attempts: int = Field(
        3, ge=1, le=100, description="attempts ended by a lost agent before the task is lost"
    )
    max_attempts: int = Field(10, ge=1, le=1000, description="attempts of one task in all")
    reap_interval_s: Annotated[float, Field(gt=0, le=60)] = Field(
        0.5, description="how often deadlines are looked at"
    )
    shutdown_grace_s: Annotated[float, Field(gt=0, le=600)] = Field(
        10.0, description="how long a stopping coordinator lets transfers end"
    )
    log_level: LogLevel = Field("info", description="least serious level that is logged")

    @field_validator("listen", "metrics_listen")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if value != "off":
            split_address(value)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave out dotenv files: a checkout's `.env` must never configure a server."""
        del dotenv_settings, file_secret_settings
        toml = TomlConfigSettingsSource(settings_cls, settings_cls.model_config.get("toml_file"))
        return init_settings, env_settings, toml

    @classmethod
    def load(cls, *, config: Path | None = None, **flags: Any) -> CoordinatorSettings:
        """Read file, environment and flags; a flag that is None was not given.

        Raises:
            ConfigurationError: naming each setting that is wrong, and where its value may come from.
        """
        if config is not None and not config.is_file():
            raise ConfigurationError(f"there is no settings file {config}; check --config")
        chosen = _with_file(config)
        try:
            return chosen(**{name: value for name, value in flags.items() if value is not None})
        except ValidationError as error:
            raise ConfigurationError(_explain(error)) from error
        except (ValueError, OSError) as error:  # a TOML file that does not parse or may not be read
            raise ConfigurationError(f"cannot read the settings file {config}: {error}") from error

    @property
    def database(self) -> str:
        """The store's URL, with the embedded default filled in."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'coordinator.sqlite3').resolve()}"


def _with_file(config: Path | None) -> type[CoordinatorSettings]:
    if config is None:
        return CoordinatorSettings

    class SettingsFromFile(CoordinatorSettings):
        model_config = SettingsConfigDict(toml_file=config)

    return SettingsFromFile


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        name = str(item["loc"][0]) if item["loc"] else "settings"
        sources = (
            f"--{name.replace('_', '-')}, {ENV_PREFIX}{name.upper()} or the key {name} of the settings file"
        )
        lines.append(f"{name}: {item['msg']} (set it by {sources})")
    return "; ".join(lines)


def split_address(address: str) -> tuple[str, int]:
    """Split HOST:PORT; an IPv6 host stands in brackets."""
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004
        raise ValueError(f"{address!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def describe() -> Mapping[str, str]:
    """Name and help text of every setting, in order: the source of flags and of the documentation."""
    return {name: field.description or "" for name, field in CoordinatorSettings.model_fields.items()}
