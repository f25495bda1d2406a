"""Who may import whom: the contracts of pyproject.toml, run as a test."""

import subprocess
import sys
from pathlib import Path


def test_import_contracts_are_kept(repository_root: Path) -> None:
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=repository_root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
