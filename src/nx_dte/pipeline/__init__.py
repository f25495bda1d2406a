"""The pipeline's file: writes a `.gitlab-ci.yml` for main, agents and guard, and finds the known faults of one.

`render` makes the text from `PipelineOptions`, by a template; `lint` reads a file as GitLab would, finds out which jobs are
main, agents and guard by what their scripts run, and reports what would make them wait, lie or go separate ways. This
package may import `errors` only. It asks no server, runs no program, and reads nothing but the checkout and
the file it is given.
"""

from nx_dte.pipeline.cast import Slots
from nx_dte.pipeline.finding import FaultCode, Finding, Severity
from nx_dte.pipeline.linting import lint
from nx_dte.pipeline.located import CiFileError
from nx_dte.pipeline.options import GuardJob, PipelineKind, PipelineOptions
from nx_dte.pipeline.rendering import render
from nx_dte.pipeline.workspace import PackageManager, Workspace, look_at

__all__ = [
    "CiFileError",
    "FaultCode",
    "Finding",
    "GuardJob",
    "PackageManager",
    "PipelineKind",
    "PipelineOptions",
    "Severity",
    "Slots",
    "Workspace",
    "lint",
    "look_at",
    "render",
]
