"""What the coordinator deletes in time, and how it makes room: old CI runs, unused cache entries, their artifacts.

What goes is a pure decision (`policy`), taken again inside the transaction that deletes. This package may import the
store's and the object store's ports and telemetry; it never deletes what a live CI run needs.
"""

from nx_dte.coordinator.retention.policy import Policy
from nx_dte.coordinator.retention.room import Room
from nx_dte.coordinator.retention.service import Retention

__all__ = ["Policy", "Retention", "Room"]
