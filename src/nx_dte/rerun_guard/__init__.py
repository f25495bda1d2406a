"""The rerun guard: may this job start, when only a part of its pipeline may have been retried?

Retrying one job of a pipeline brings back a main job whose agents have ended, or an agent whose main has. The guard
notices before anybody waits. What can be known (`Evidence`) is gathered by `gather`, within ten seconds; what follows
from it is decided by `decide`, a pure function; `check` is both. This package may import `gitlab`, `client`,
`transport`, `model` and `errors`; it ends no process and prints nothing.
"""

from nx_dte.rerun_guard.checking import check, wait_for_main
from nx_dte.rerun_guard.decision import decide
from nx_dte.rerun_guard.evidence import CoordinatorEvidence, Evidence, Mode, PipelineShape, Role
from nx_dte.rerun_guard.gathering import gather
from nx_dte.rerun_guard.recording import GuardRecord, record
from nx_dte.rerun_guard.verdict import Verdict, VerdictKind

__all__ = [
    "CoordinatorEvidence",
    "Evidence",
    "GuardRecord",
    "Mode",
    "PipelineShape",
    "Role",
    "Verdict",
    "VerdictKind",
    "check",
    "decide",
    "gather",
    "record",
    "wait_for_main",
]
