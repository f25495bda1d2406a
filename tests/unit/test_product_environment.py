"""The tests' own fence: what is set in the developer's shell does not reach the product."""

import os
import subprocess
import sys
from pathlib import Path

PRINT_NAMES = "import tests.conftest, os; print(*sorted(os.environ))"


def test_product_variables_are_wiped_and_others_stay(repository_root: Path) -> None:
    own = {
        "NX_CLOUD_API": "http://x",
        "NX_DTE_DATA_DIR": "/x",
        "CI_JOB_ID": "7",
        "GITLAB_CI": "true",
        "OTHER": "1",
    }
    result = subprocess.run(
        [sys.executable, "-c", PRINT_NAMES],
        cwd=repository_root,
        env=os.environ | own,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    names = result.stdout.split()
    assert "OTHER" in names
    assert [name for name in names if name in own and name != "OTHER"] == []
