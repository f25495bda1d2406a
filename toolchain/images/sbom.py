"""Writes down what is in an image: its software bill of materials, in the format SPDX, by syft."""

import os
from pathlib import Path

from toolchain.images.docker import DockerError, run_step

__all__ = ["write_sbom"]

SCAN_S = 300.0


def write_sbom(root: Path, image: str, target: Path) -> Path:
    """List the packages of an image that is here in the file `target`.

    Raises:
        DockerError: syft is not installed, or failed.
    """
    syft = root / ".venv/bin/syft"
    if not syft.is_file():
        raise DockerError(f"{syft} is not here; run `make setup`")
    target.parent.mkdir(parents=True, exist_ok=True)
    os.environ["SYFT_CHECK_FOR_APP_UPDATE"] = "false"
    scan = [str(syft), "scan", "--quiet", f"docker:{image}", "--output", f"spdx-json={target}"]
    run_step(scan, timeout_s=SCAN_S)
    return target
