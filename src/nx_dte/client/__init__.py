"""The coordinator's client for the command line: typed, with a deadline on every call.

It speaks the messages of `nx_dte.protocol` and never those of Nx. The address in NX_CLOUD_API may be a real Nx Cloud:
`probe` finds that out and is no error; `find_coordinator` is what a job asks first. This package may import `transport`, `protocol`, `model` and `errors`.
"""

from nx_dte.client.access import find_coordinator
from nx_dte.client.coordinator import (
    CoordinatorClient,
    CoordinatorRefusedError,
    Presence,
    Probe,
)
from nx_dte.client.environment import CloudEnvironment

__all__ = [
    "CloudEnvironment",
    "CoordinatorClient",
    "CoordinatorRefusedError",
    "Presence",
    "Probe",
    "find_coordinator",
]
