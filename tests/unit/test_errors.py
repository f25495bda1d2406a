"""The error family: a message, a stable code, an exit code."""

import pytest

from nx_dte import errors
from nx_dte.errors import ConfigurationError, CoordinatorUnreachableError, InternalError, NxDteError


def test_the_docstring_is_the_default_message() -> None:
    assert CoordinatorUnreachableError().message == "The coordinator did not answer."
    assert ConfigurationError("no data folder").message == "no data folder"
    assert str(ConfigurationError("no data folder")) == "no data folder"


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (NxDteError, "internal", 70),
        (InternalError, "internal", 70),
        (CoordinatorUnreachableError, "coordinator_unreachable", 75),
        (ConfigurationError, "configuration", 78),
    ],
)
def test_codes_are_stable(error: type[NxDteError], code: str, exit_code: int) -> None:
    assert (error.code, error.exit_code) == (code, exit_code)


def test_every_public_error_belongs_to_the_family() -> None:
    public = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]
    assert all(issubclass(error, NxDteError) for error in public)
