"""`nx-dte demo`, as `make demo` calls it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

DEMO_MAX_S = 120


@pytest.mark.timeout(DEMO_MAX_S + 60)
def test_the_demo_shows_who_ran_what_and_ends_with_0(repository_root: Path, node_modules: Path) -> None:
    assert node_modules.is_dir(), "set up before the clock starts"
    started = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-m", "nx_dte", "demo"],
        cwd=repository_root,
        capture_output=True,
        text=True,
        timeout=DEMO_MAX_S + 30,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert time.monotonic() - started < DEMO_MAX_S
    report = result.stdout.split("task  ", 1)[1]
    assert set(re.findall(r"nx-dte-agent\d", report)) == {"nx-dte-agent1", "nx-dte-agent2", "nx-dte-agent3"}
    bound = re.search(r"lower bound .* (\d+\.\d) s", report)
    span = re.search(r"first task's start to last task's end +(\d+\.\d) s", report)
    assert bound is not None
    assert span is not None
    assert 0 < float(bound[1]) <= float(span[1])
    assert "exit code of the main job: 0" in report
