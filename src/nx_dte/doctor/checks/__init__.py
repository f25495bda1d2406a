"""The checks: pure functions from `Facts` to a `Finding`, and the list of who needs which.

They may import `facts`, `findings` and plain values; never anything that looks at the machine.
"""

from nx_dte.doctor.checks.base import Check
from nx_dte.doctor.checks.listing import CHECKS

__all__ = ["CHECKS", "Check"]
