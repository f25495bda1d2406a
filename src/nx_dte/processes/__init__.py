"""Processes of a job: started, watched, and ended with everything they started in turn.

`Child` is one of them; `end_marked` finds and ends whatever carries a job's mark, in whatever session it is by now;
`StopSignals` remembers that the job was told to stop; `write_to_log` is how a job speaks beside its children. This package
may import `errors` only, and says nothing of its own accord.
"""

from nx_dte.processes.child import Child, LineBuffer, RunningChild, exit_code_of
from nx_dte.processes.job_log import ERRORS, OUTPUT, write_to_log
from nx_dte.processes.marking import MARK, end_marked, has_variable, marked_processes
from nx_dte.processes.signals import STOP_CODES, StoppedError, StopSignals

__all__ = [
    "ERRORS",
    "MARK",
    "OUTPUT",
    "STOP_CODES",
    "Child",
    "LineBuffer",
    "RunningChild",
    "StopSignals",
    "StoppedError",
    "end_marked",
    "exit_code_of",
    "has_variable",
    "marked_processes",
    "write_to_log",
]
