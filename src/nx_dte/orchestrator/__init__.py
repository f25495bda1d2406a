"""The main job: start-ci-run, records, commands, and completion on every path out.

It drives `nx-cloud …` and `nx …` commands and never speaks to Nx itself, so it serves a coordinator of ours and a real
Nx Cloud alike; with neither it runs the same commands plainly. This package may import `rerun_guard`, `base_commit`,
`summary`, `client`, `gitlab`, `processes`, `nx_commands`, `protocol`, `model` and `errors`.
"""

from nx_dte.orchestrator.job import orchestrate
from nx_dte.orchestrator.plan import Options, Step, StepKind

__all__ = ["Options", "Step", "StepKind", "orchestrate"]
