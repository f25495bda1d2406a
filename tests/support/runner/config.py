"""`config.toml`, as the real runner's: the keys that matter here."""

from __future__ import annotations

import json
import secrets
import tomllib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Entry", "RunnerConfig", "add_entry", "read", "system_id"]


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
    system_id: str


def read(file: Path) -> RunnerConfig:
    """Read the file; the system id lies beside it and is made when it is missing."""
    values = tomllib.loads(file.read_text(encoding="utf-8"))
    folder = file.parent
    return RunnerConfig(
        concurrent=int(values.get("concurrent", 1)),
        check_interval_s=float(values.get("check_interval") or 3),
        system_id=system_id(folder),
        entries=tuple(
            Entry(
                name=str(entry.get("name", "")),
                url=str(entry["url"]).rstrip("/"),
                token=str(entry["token"]),
                executor=str(entry["executor"]),
                limit=int(entry.get("limit", 0)),
                environment=tuple(entry.get("environment", ())),
                builds_dir=Path(entry.get("builds_dir") or folder / "builds"),
                cache_dir=Path(entry.get("cache_dir") or folder / "cache"),
            )
            for entry in values.get("runners", ())
        ),
    )


def system_id(folder: Path) -> str:
    """Of this host: from the file, or a new one."""
    file = folder / ".runner_system_id"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(f"r_{secrets.token_hex(6)}", encoding="utf-8")
    return file.read_text(encoding="utf-8").strip()


def add_entry(file: Path, *, name: str, url: str, token: str, executor: str, runner_id: int) -> None:
    """Append a `[[runners]]`, as `register` does."""
    text = file.read_text(encoding="utf-8") if file.exists() else "concurrent = 1\ncheck_interval = 0\n"
    fields = {"name": name, "url": url, "id": runner_id, "token": token, "executor": executor}
    # JSON's strings and numbers are TOML's.
    lines = [f"  {key} = {json.dumps(value)}" for key, value in fields.items()]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([text.rstrip("\n"), "", "[[runners]]", *lines, ""]), encoding="utf-8")
    file.chmod(0o600)
