"""`config.toml`, as the real runner's: the keys that matter here."""

from __future__ import annotations

import json
import secrets
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["ConfigError", "DockerSettings", "Entry", "RunnerConfig", "add_entry", "read", "system_id"]

_NEVER = datetime(1, 1, 1, tzinfo=UTC)
"""What the real runner writes where there is no date."""
_UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


class ConfigError(Exception):
    """The file is no TOML, or lacks what it must have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerSettings:
    """`[runners.docker]`: what this runner heeds."""

    host: str = ""
    image: str = ""
    allowed_images: tuple[str, ...] = ()
    pull_policy: tuple[str, ...] = ("always",)
    volumes: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    network_mode: str = ""
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    user: str = ""
    memory: int = 0
    cpus: float = 0.0
    shm_size: int = 0
    container_labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One `[[runners]]`."""

    name: str
    url: str
    token: str
    executor: str = "shell"
    limit: int = 0
    """Jobs at once of this entry; 0 is no limit."""
    environment: tuple[str, ...] = ()
    docker: DockerSettings = DockerSettings()
    token_obtained_at: datetime | None = None
    token_expires_at: datetime | None = None
    user: str = ""
    """Whose the processes of a shell executor's jobs are; empty is the runner's own."""
    builds_dir: Path
    cache_dir: Path

    @property
    def short_token(self) -> str:
        """Nine characters of the token: the real runner names folders by them."""
        return self.token.removeprefix("glrt-")[:9]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerConfig:
    """The whole file."""

    concurrent: int = 1
    check_interval_s: float = 3.0
    entries: tuple[Entry, ...] = ()
    listen_address: str = ""
    system_id: str


def read(
    file: Path, *, folder: Path | None = None, user: str = "", is_only_read: bool = False
) -> RunnerConfig:
    """Read the file; one that is not there has no runners.

    The system id lies beside it, and is made when it is missing unless the file is `is_only_read`. Builds and caches lie in `folder` (default: beside the file) where an entry does not say otherwise.

    Raises:
        ConfigError: it cannot be used.
    """
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        host = "" if is_only_read else system_id(file.parent)
        return _config(values, host, folder or file.parent, user)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"{file}: {what}") from error


def _config(values: dict[str, Any], host: str, folder: Path, user: str) -> RunnerConfig:
    if int(values.get("concurrent", 1)) < 1:
        raise ValueError("concurrent must be 1 or more")
    return RunnerConfig(
        concurrent=int(values.get("concurrent", 1)),
        check_interval_s=float(values.get("check_interval") or 3),
        listen_address=str(values.get("listen_address", "")),
        system_id=host,
        entries=tuple(_entry(entry, folder, user) for entry in values.get("runners", ())),
    )


def _entry(entry: dict[str, Any], folder: Path, user: str) -> Entry:
    return Entry(
        name=str(entry.get("name", "")),
        url=str(entry["url"]).rstrip("/"),
        token=str(entry["token"]),
        executor=str(entry["executor"]),
        limit=int(entry.get("limit", 0)),
        environment=tuple(entry.get("environment", ())),
        docker=_docker(entry.get("docker", {})),
        token_obtained_at=_date(entry.get("token_obtained_at")),
        token_expires_at=_date(entry.get("token_expires_at")),
        user=user,
        builds_dir=Path(entry.get("builds_dir") or folder / "builds"),
        cache_dir=Path(entry.get("cache_dir") or folder / "cache"),
    )


def _docker(values: dict[str, Any]) -> DockerSettings:
    policy = values.get("pull_policy") or ["always"]

    def words(name: str) -> tuple[str, ...]:
        return tuple(map(str, values.get(name) or ()))

    def word(name: str) -> str:
        return str(values.get(name) or "")

    return DockerSettings(
        host=word("host"),
        image=word("image"),
        allowed_images=words("allowed_images"),
        pull_policy=(policy,) if isinstance(policy, str) else tuple(policy),
        volumes=words("volumes"),
        extra_hosts=words("extra_hosts"),
        network_mode=word("network_mode"),
        privileged=bool(values.get("privileged", False)),
        cap_add=words("cap_add"),
        cap_drop=words("cap_drop"),
        security_opt=words("security_opt"),
        dns=words("dns"),
        user=word("user"),
        memory=_bytes(values.get("memory", 0)),
        cpus=float(values.get("cpus") or 0),
        shm_size=_bytes(values.get("shm_size", 0)),
        container_labels=tuple(sorted((values.get("container_labels") or {}).items())),
    )


def _bytes(value: int | str) -> int:
    """A size as the engine's options have it: 512m, 2g."""
    text = str(value or 0).strip().lower()
    digits = text.rstrip("bkmg")
    return int(digits) * _UNITS[text[len(digits) :][:1]]


def _date(value: object) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return aware if aware > _NEVER else None


def system_id(folder: Path) -> str:
    """Of this host: from the file, or a new one."""
    file = folder / ".runner_system_id"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(f"r_{secrets.token_hex(6)}", encoding="utf-8")
        file.chmod(0o600)
    return file.read_text(encoding="utf-8").strip()


def add_entry(
    file: Path, *, name: str, url: str, token: str, executor: str, runner_id: int, image: str = ""
) -> None:
    """Append a `[[runners]]`, as `register` does."""
    text = file.read_text(encoding="utf-8") if file.exists() else "concurrent = 1\ncheck_interval = 0\n"
    fields = {"name": name, "url": url, "id": runner_id, "token": token, "executor": executor}
    # JSON's strings and numbers are TOML's.
    lines = [f"  {key} = {json.dumps(value)}" for key, value in fields.items()]
    if image:
        lines += ["  [runners.docker]", f"    image = {json.dumps(image)}"]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([text.rstrip("\n"), "", "[[runners]]", *lines, ""]), encoding="utf-8")
    file.chmod(0o600)
