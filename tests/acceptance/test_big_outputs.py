"""Outputs of a gibibyte stream through the light client: they are never in its memory."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from nx_dte.demo.layout import Layout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

GIB = 1024**3
MAY_GROW = 64 * 1024**2


def test_a_gibibyte_is_packed_sent_and_restored_in_little_memory(
    layout: Layout, repository_root: Path, tmp_path: Path
) -> None:
    layout.check()
    script = repository_root / "tests/js/big-artifact.js"
    result = subprocess.run(
        ["node", str(script), str(tmp_path), str(GIB)],
        env={"PATH": layout.toolchain_path},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    grown = json.loads(result.stdout)
    assert grown.pop("isWhole")
    assert set(grown) == {"packed", "sent", "restored"}
    assert max(grown.values()) < MAY_GROW, grown
    shutil.rmtree(tmp_path)  # some gibibytes that pytest would keep
