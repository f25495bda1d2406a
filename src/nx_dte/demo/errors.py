"""What can go wrong while the demo prepares or runs."""

from nx_dte.errors import ConfigurationError, NxDteError

__all__ = ["DemoFailedError", "MissingToolchainError"]


class MissingToolchainError(ConfigurationError):
    """Something that `make setup` installs is not there; run `make setup` in the repository."""

    code = "toolchain_missing"


class DemoFailedError(NxDteError):
    """A step of the demo did not come to its end."""

    code = "demo_failed"
