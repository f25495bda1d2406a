"""The guard job's two small files: which run of the pipeline it stood at the beginning of.

`.nx-dte/guard.json` travels to main and agents as a GitLab artifact, `.nx-dte/guard.env` as dotenv variables. Either
will do; the file goes first. A `.gitignore` travels with it: the record is another in every pipeline, and Nx would take it
for a source of a project at the workspace's root, which would never hit the cache again.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nx_dte.gitlab.environment import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from nx_dte.gitlab import CiEnvironment

__all__ = ["FOLDER", "GuardRecord", "read", "record"]

FOLDER = Path(".nx-dte")
JSON_FILE = FOLDER / "guard.json"
DOTENV_FILE = FOLDER / "guard.env"
IGNORE_FILE = FOLDER / ".gitignore"
PREFIX = "NX_DTE_GUARD_"
_FIELDS = ("pipeline_id", "guard_job_id", "guard_started_at", "sha", "project_id", "nonce")
_DOTENV_NAMES = {
    "pipeline_id": "PIPELINE_ID",
    "guard_job_id": "JOB_ID",
    "guard_started_at": "STARTED_AT",
    "sha": "SHA",
    "project_id": "PROJECT_ID",
    "nonce": "NONCE",
}
_UNFIT_FOR_DOTENV = re.compile(r"[^\w.:/+-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRecord:
    """What the guard job wrote down. What its environment did not say is None."""

    pipeline_id: str | None
    guard_job_id: str | None = None
    guard_started_at: datetime | None = None
    """By GitLab's clock: main and agents were made before, their clones after."""
    sha: str | None = None
    project_id: str | None = None
    nonce: str | None = None

    def as_strings(self) -> dict[str, str]:
        """All fields as text, absent ones empty."""
        started_at = "" if self.guard_started_at is None else self.guard_started_at.isoformat()
        texts = {name: getattr(self, name) or "" for name in _FIELDS}
        return {**texts, "guard_started_at": started_at}

    @classmethod
    def from_strings(cls, texts: Mapping[str, object]) -> GuardRecord:
        """The reverse; what is no text counts as absent."""
        given = {name: str(texts.get(name) or "").strip() or None for name in _FIELDS}
        return cls(**{**given, "guard_started_at": parse_time(given["guard_started_at"])})  # type: ignore[arg-type]


def record(environment: CiEnvironment, directory: Path) -> tuple[GuardRecord, tuple[str, ...]]:
    """Write all files below `directory`, each whole or not at all, and say what is missing or went wrong.

    Never raises for the files' sake: a guard job that fails would stop the pipeline it is there to protect.
    """
    written = GuardRecord(
        pipeline_id=environment.pipeline_id,
        guard_job_id=environment.job_id,
        guard_started_at=environment.job_started_at,
        sha=environment.commit,
        project_id=environment.project_id,
        nonce=secrets.token_hex(8),
    )
    texts = written.as_strings()
    problems = [f"this job's environment has no {name}" for name, text in texts.items() if not text]
    dotenv = "".join(
        f"{PREFIX}{_DOTENV_NAMES[name]}={_UNFIT_FOR_DOTENV.sub('', text)}\n" for name, text in texts.items()
    )
    files = {IGNORE_FILE: "*\n", JSON_FILE: json.dumps(texts, indent=2) + "\n", DOTENV_FILE: dotenv}
    for file, content in files.items():
        try:
            _write_whole(directory / file, content)
        except OSError as error:
            problems.append(f"{directory / file} cannot be written: {error.strerror or error}")
    return written, tuple(problems)


def read(directory: Path, environ: Mapping[str, str]) -> tuple[GuardRecord | None, str]:
    """The record that reached this job, as a file or as variables; None and why there is none."""
    file = directory / JSON_FILE
    try:
        texts = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return _from_variables(environ), f"{file} is not there"
    except (OSError, ValueError) as error:
        return _from_variables(environ), f"{file} cannot be read: {error}"
    if not isinstance(texts, dict) or not texts.get("pipeline_id"):
        return _from_variables(environ), f"{file} is not a guard's record"
    return GuardRecord.from_strings(texts), ""


def _from_variables(environ: Mapping[str, str]) -> GuardRecord | None:
    texts = {name: environ.get(f"{PREFIX}{variable}", "") for name, variable in _DOTENV_NAMES.items()}
    return GuardRecord.from_strings(texts) if texts["pipeline_id"] else None


def _write_whole(file: Path, content: str) -> None:
    """Beside it first, then over it: whoever reads sees the old file or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        beside.write_text(content, encoding="utf-8")
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
