"""`nx-dte doctor`: whether a job, an image or a host has what it needs, and what to fix if not.

`gathering` finds out facts, all at once and within one deadline; `checks` are pure functions from facts to findings;
`report` writes those down. Nothing of the checkout is run or changed, and no secret is ever shown. This package may import
`client`, `nx_commands`, `protocol`, `transport`, `model` and `errors`.
"""

from nx_dte.doctor.examining import Examination, examine
from nx_dte.doctor.findings import Finding, Status
from nx_dte.doctor.report import as_json, as_text
from nx_dte.doctor.role import Role

__all__ = ["Examination", "Finding", "Role", "Status", "as_json", "as_text", "examine"]
