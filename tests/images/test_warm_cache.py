"""The recipe for an image that has the packages of a lock file: a job installs them without a network."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.images.conftest import build_warm
from tests.images.jobs import JOB_END_S

if TYPE_CHECKING:
    from pathlib import Path

    from tests.images.conftest import Built
    from tests.images.containers import Containers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_yarn_installs_from_the_image_alone(containers: Containers, built: Built, warm: str) -> None:
    example = built.root / "examples/workspace"
    job = containers.feed(
        warm,
        [
            "cp /lock/package.json /lock/yarn.lock . && chmod u+w *",
            "yarn install --prefer-offline --frozen-lockfile --non-interactive",
            "yarn -s nx --version",
        ],
        options=["--workdir", "/tmp"],
        mounts={example: "/lock:ro"},
    )
    job.expect("You don't appear to have an internet connection")
    assert job.wait(JOB_END_S) == 0, job.log
    assert "20.8.4" in job.log


def test_npm_installs_from_the_image_alone(containers: Containers, built: Built, tmp_path: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(built.root / "images/runner/pnpm" / name, tmp_path)
    tmp_path.chmod(0o755)  # a job is not its owner
    image = build_warm(built, "warm-npm", tmp_path)
    job = containers.feed(
        image,
        [
            "cp /lock/package.json /lock/package-lock.json .",
            "npm ci --prefer-offline --no-audit --no-fund",
            "node_modules/.bin/pnpm --version",
        ],
        options=["--workdir", "/tmp"],
        mounts={tmp_path: "/lock:ro"},
    )
    assert job.wait(JOB_END_S) == 0, job.log
    assert built.versions.tools["pnpm"] in job.log
