"""Prometheus's own checker: the machine's, else Debian's, fetched once into the tools' folder."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

UNAVAILABLE = 69


@pytest.fixture(scope="session")
def promtool(repository_root: Path) -> str:
    """Its path."""
    done = subprocess.run(
        ["bash", "toolchain/promtool.sh", ".cache/toolchain"],
        cwd=repository_root,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode == UNAVAILABLE:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
