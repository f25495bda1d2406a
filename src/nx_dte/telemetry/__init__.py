"""What the coordinator tells its operators: JSON log lines and Prometheus metrics.

It may import only third-party telemetry libraries. Metrics live in a registry of their own, one per application.
"""

from nx_dte.telemetry.logs import configure_logging
from nx_dte.telemetry.metrics import Metrics

__all__ = ["Metrics", "configure_logging"]
