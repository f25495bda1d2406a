"""The record: a command run on the main job under `nx-cloud record`; never distributed, never cached."""

from dataclasses import dataclass
from datetime import datetime

from nx_dte.model.ids import CiRunId, RecordId


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A command, what it printed, and its exit code."""

    record_id: RecordId
    ci_run_id: CiRunId
    record_key: str
    command: str
    code: int
    terminal_output: str
    started_at: datetime
    ended_at: datetime
