"""A line of a container's log that complains is noticed, so that a test cannot pass over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.images.conftest import Built
    from tests.images.containers import Containers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COMPLAINTS = (
    "WARNING: Ignoring extra certs from the file",
    "warning package.json: No license field",
    "npm warn Unknown env config",
    '{"event": "disk is full", "level": "error", "at": "2026-01-02T03:04:05Z"}',
    "Traceback (most recent call last):",
    "(node:7) DeprecationWarning: Buffer() is deprecated",
    "[WARN  tini (6)] Tini is not running as PID 1",
)
HARMLESS = (
    '{"event": "warned agent 7", "level": "info"}',
    "no errors, 0 warnings",
    "errors are closed enums",
)


def test_complaints_are_noticed_unless_they_are_expected(containers: Containers, built: Built) -> None:
    job = containers.start(built.runner, "printf", "%s\\n", *COMPLAINTS, *HARMLESS)
    assert job.wait(60) == 0
    assert tuple(job.complaints()) == COMPLAINTS
    for pattern in ("certs", "license", "npm warn", "disk is full", "Traceback", "Deprecation", "tini"):
        job.expect(pattern)
    assert job.complaints() == []
