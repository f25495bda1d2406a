"""The coordinator's settings: each is declared once and has an environment variable, a TOML key and a flag.

Order of precedence: flag (keyword argument of `load`), environment (`NX_DTE_<NAME>`), TOML file, default. The
description of a field is its help text and its documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from nx_dte.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

GIB = 1024**3
MIB = 1024**2
DAY_S = 24 * 3600.0
ENV_PREFIX = "NX_DTE_"
# Those that `nx-dte coordinator serve` takes as flags as well.
FLAGS = frozenset(
    {"listen", "metrics_listen", "data_dir", "database_url", "artifacts_url", "public_url", "log_level"}
)

_COMPLAINTS = {
    "value_error": "{error}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "literal_error": "must be {expected}",
    "too_short": "must have {min_length} characters or more",
    "string_too_short": "must have {min_length} characters or more",
    "string_type": "must be text",
    "path_type": "must be a path",
}

Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600)]
Span = Annotated[float, Field(ge=0, le=10 * 365 * DAY_S)]
LogLevel = Literal["debug", "info", "warning", "error"]


class CoordinatorSettings(BaseSettings):
    """Everything that can be set about a coordinator. Sizes are bytes, `_s` means seconds."""

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
    database_wait_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        30.0, description="how long a starting coordinator waits for a database that does not answer"
    )
    artifacts_url: str | None = Field(
        None,
        description=(
            "s3://, gs://, az:// or file:// URL of the object store; without it the data folder. "
            "All coordinators of one database need the same"
        ),
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

    artifacts_total_max_bytes: int = Field(
        0,
        ge=0,
        description="most bytes of all artifacts together; the longest unused go first, 0 sets no limit",
    )
    cache_retention_s: Span = Field(
        14 * DAY_S,
        description="shared cache entries not used for this long are deleted; 0 keeps them for ever",
    )
    run_retention_s: Span = Field(
        30 * DAY_S,
        description="CI runs are deleted this long after their end, with their events, records and artifacts that "
        "nothing else names; 0 keeps them for ever",
    )
    retention_grace_s: Span = Field(
        3600.0,
        gt=0,
        description="artifacts used within this time are never deleted; longer than any command takes from looking up "
        "its hits to submitting its tasks",
    )
    retention_interval_s: Seconds = Field(
        600.0, description="how often old things are looked for and deleted"
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
    slow_task_factor: float = Field(
        3.0,
        ge=1,
        le=1000,
        description="main is told of a task that takes this many times as long as usual ...",
    )
    slow_task_extra_s: Seconds = Field(60.0, description="... and this many seconds longer than usual")
    slow_task_unknown_s: Seconds = Field(
        300.0, description="main is told of a task that takes this long when nobody knows its usual time"
    )
    reap_interval_s: Annotated[float, Field(gt=0, le=60)] = Field(
        0.5, description="how often deadlines are looked at"
    )
    shutdown_grace_s: Annotated[float, Field(gt=0, le=600)] = Field(
        10.0, description="how long a stopping coordinator lets transfers end"
    )
    shutdown_notice_s: Annotated[float, Field(ge=0, le=600)] = Field(
        0.0,
        description="how long a stopping coordinator serves on while /readyz already says 503, for a proxy to see it",
    )
    log_level: LogLevel = Field("info", description="least serious level that is logged")

    @field_validator("listen", "metrics_listen")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if value != "off":
            split_address(value)
        return value

    @field_validator("public_url")
    @classmethod
    def _is_a_web_address(cls, value: str | None) -> str | None:
        if value is not None:
            url = urlsplit(value)
            if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
                raise ValueError(
                    "must be an address like https://nx-dte.example.org, without query or fragment"
                )
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
    """Each wrong setting in our words; never its value, which may be a token or hold a password."""
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        name = str(item["loc"][0]) if item["loc"] else "settings"
        if item["type"] == "extra_forbidden":
            lines.append(_explain_unknown(name))
            continue
        ways = [f"{ENV_PREFIX}{name.upper()}", f"the key {name} of the settings file"]
        if name in FLAGS:
            ways.insert(0, _flag_of(name))
        lines.append(f"{name} {_complaint(item)} (set it by {', '.join(ways[:-1])} or {ways[-1]})")
    return "; ".join(lines)


def _explain_unknown(name: str) -> str:
    near = get_close_matches(name, CoordinatorSettings.model_fields, n=1)
    hint = f"; {near[0]} is meant?" if near else ""
    return f"there is no setting {name}{hint} (`nx-dte coordinator settings` lists them all)"


def _complaint(item: ErrorDetails) -> str:
    context = {name: _plain(value) for name, value in item.get("ctx", {}).items()}
    template = _COMPLAINTS.get(item["type"])
    return f"cannot be used: {item['msg']}" if template is None else template.format(**context)


def _plain(value: object) -> str:
    """A value as people write it: 30, not 30.0."""
    if value is None:
        return "none"
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def split_address(address: str) -> tuple[str, int]:
    """Split HOST:PORT; an IPv6 host stands in brackets."""
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004
        raise ValueError(f"must be HOST:PORT, not {address!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingHelp:
    """One setting, as the documentation and `nx-dte coordinator settings` show it."""

    name: str
    """Also the key of the settings file."""
    variable: str
    flag: str | None
    default: str
    meaning: str


def describe() -> tuple[SettingHelp, ...]:
    """Every setting, in order."""
    return tuple(
        SettingHelp(
            name=name,
            variable=f"{ENV_PREFIX}{name.upper()}",
            flag=_flag_of(name) if name in FLAGS else None,
            default=_plain(field.default),
            meaning=field.description or "",
        )
        for name, field in CoordinatorSettings.model_fields.items()
    )


def _flag_of(name: str) -> str:
    return f"--{name.replace('_', '-')}"
