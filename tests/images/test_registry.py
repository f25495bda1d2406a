"""Publishing: push to a registry, pull by the digest that was written down, run."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.images.conftest import registry_address
from toolchain.images.docker import docker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.images.conftest import Built
    from tests.images.containers import Containers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_what_is_pushed_can_be_pulled_by_its_digest_and_runs(
    containers: Containers, built: Built, services: str, tmp_path: Path
) -> None:
    registry = registry_address(containers, services)
    digests = tmp_path / "images.yaml"
    command = [sys.executable, "-m", "toolchain.images", "push", "--registry", f"{registry}/group"]
    command += ["--node", "18", "--allow-stand-ins"]
    done = subprocess.run(
        [*command, "--digests", str(digests)],
        cwd=built.root,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    published = yaml.safe_load(digests.read_text(encoding="utf-8"))["nx_dte_images"]
    assert published.keys() == {"runner-node18", "coordinator"}
    version = built.coordinator.rpartition(":")[2]
    pushed = [
        line.removeprefix(f"pushed {registry}/group/")
        for line in done.stdout.splitlines()
        if line.startswith("pushed ")
    ]
    assert pushed == [
        f"nx-dte/runner:{version}-node18",
        "nx-dte/runner:node18",
        f"nx-dte/coordinator:{version}",
        "nx-dte/coordinator:latest",
    ]
    for reference in published.values():
        assert reference.startswith(f"{registry}/group/nx-dte/")
        assert "@sha256:" in reference
    try:
        for name in pushed:
            docker("image", "rm", f"{registry}/group/{name}")
        for reference in published.values():
            docker("pull", "--quiet", reference, timeout_s=300)
            assert "nx-dte, version" in containers.output(reference, "nx-dte", "--version")
    finally:
        for reference in published.values():
            docker("image", "rm", "--force", reference)
