"""What the role wrote down about this host: where things are, and how a container of the coordinator's image is run."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

CONFIG = Path("/etc/nx-dte/coordinator/ctl.json")


class Failure(Exception):  # noqa: N818  # a sentence for people, not a fault of the program
    """What happened, to what, and what to do next; it ends the command."""


@dataclass(frozen=True)
class Config:
    """The file's keys."""

    unit: str
    uid: int
    etc: Path
    data_dir: Path
    backup_dir: Path
    keep: int
    ready_url: str
    ready_timeout_s: int
    has_server: bool
    """A database server instead of SQLite in the data folder."""
    has_object_store: bool
    extra_hosts: dict[str, str]

    @property
    def mounted(self) -> Path:
        """What containers see as /etc/nx-dte."""
        return self.etc / "container"

    @property
    def image(self) -> str:
        """The image that the unit starts, by id; empty before the first one."""
        try:
            text = (self.etc / "image.env").read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#")
        return lines.get("NX_DTE_COORDINATOR_IMAGE", "")

    @property
    def database_url(self) -> str:
        """The database server's URL; the settings file's value is written as JSON."""
        for line in (self.mounted / "settings.toml").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(" = ")
            if key == "database_url":
                return str(json.loads(value))
        raise Failure(f"{self.mounted}/settings.toml has no database_url; run coordinator.yml again")


def load(file: Path = CONFIG) -> Config:
    """Read the file.

    Raises:
        Failure: it is not there, or of another version.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        paths = {name: Path(found.pop(name)) for name in ("etc", "data_dir", "backup_dir")}
        return Config(**paths, **found)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Failure(f"{file} cannot be used: {error}; run coordinator.yml for this host again") from error


def say(line: str) -> None:
    """A line of progress; answers for programs go to stdout."""
    print(line, file=sys.stderr, flush=True)
