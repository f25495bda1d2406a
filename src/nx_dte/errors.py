"""The one error family of nx-dte.

An error says what happened, to which id, and what to do next. It never logs: the edge that handles it (the command
line, the HTTP API) reports it once. `code` is stable and goes over the wire; `exit_code` is what a command ends with.
This module imports nothing of the package.
"""

from typing import ClassVar

__all__ = [
    "EXIT_CONFIGURATION",
    "EXIT_COORDINATOR_LOST",
    "EXIT_INTERNAL",
    "ConfigurationError",
    "CoordinatorUnreachableError",
    "InternalError",
    "NxDteError",
]

EXIT_INTERNAL = 70
EXIT_COORDINATOR_LOST = 75
EXIT_CONFIGURATION = 78


class NxDteError(Exception):
    """Something went wrong in nx-dte."""

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = EXIT_INTERNAL

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])

    @property
    def message(self) -> str:
        """The sentence meant for people."""
        return str(self.args[0])


class InternalError(NxDteError):
    """nx-dte broke one of its own rules; this is a fault to report."""


class ConfigurationError(NxDteError):
    """A setting is missing or cannot be used."""

    code = "configuration"
    exit_code = EXIT_CONFIGURATION


class CoordinatorUnreachableError(NxDteError):
    """The coordinator did not answer."""

    code = "coordinator_unreachable"
    exit_code = EXIT_COORDINATOR_LOST
