"""What one `nx` command said about its tasks: hash, exit code, cache status, and what each printed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["RUN_FILE", "TaskResult", "read_results", "sections", "terminal_outputs"]

# Nx writes this after every command that ran tasks, with or without a cloud.
RUN_FILE = ".nx/cache/run.json"

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_HEADER = re.compile(r"^> nx run (?P<task>\S+)(?P<rest>.*)$")
_STATUS = re.compile(r"\s+\[(local cache|remote cache|existing outputs match the cache, left as is)\]$")
_END_OF_OUTPUTS = re.compile(r"^(—{10,}| NX  )")

# What the product itself says in main's log, between two tasks' outputs.
_REMARK = "[nx-dte] "


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """What Nx recorded of one task."""

    hash: str
    code: int
    is_hit: bool


def read_results(file: Path) -> dict[str, TaskResult]:
    """The tasks of the last command, from the file Nx wrote."""
    tasks = json.loads(file.read_text(encoding="utf-8"))["tasks"]
    return {
        task["taskId"]: TaskResult(
            hash=task["hash"], code=task["status"], is_hit=task["cacheStatus"] != "cache-miss"
        )
        for task in tasks
    }


def sections(log: str, script: Sequence[str]) -> list[str]:
    """A job's log cut at the echo of each script line: one text per line that was reached."""
    texts: list[list[str]] = []
    for line in log.split("\n"):
        if len(texts) < len(script) and line == f"$ {script[len(texts)]}":
            texts.append([])
        elif texts:
            texts[-1].append(line)
    return ["\n".join(lines) for lines in texts]


def terminal_outputs(log: str) -> dict[str, str]:
    """What each task printed, by its id and arguments, without colours, cache remarks and our own words."""
    outputs: dict[str, list[str]] = {}
    current: list[str] | None = None
    for raw in log.split("\n"):
        line = _ANSI.sub("", raw).rstrip()
        header = _HEADER.match(line)
        if line.startswith(_REMARK):
            continue
        if header:
            name = header["task"] + _STATUS.sub("", header["rest"])
            current = outputs.setdefault(name, [])
        elif _END_OF_OUTPUTS.match(line):
            current = None
        elif current is not None:
            current.append(line)
    return {name: "\n".join(lines).strip("\n") for name, lines in outputs.items()}
