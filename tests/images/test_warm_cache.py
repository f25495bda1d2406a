"""The recipe for an image that has the packages of a lock file: a job installs them without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.images.conftest import build_warm
from tests.images.jobs import JOB_END_S

if TYPE_CHECKING:
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


@pytest.mark.parametrize(
    ("tool", "folder", "install", "shows", "said"),
    [
        (
            "npm",
            "images/runner/pnpm",
            "npm ci --prefer-offline --no-audit --no-fund",
            "node_modules/.bin/pnpm --version",
            "10.",
        ),
        (
            "pnpm",
            "tests/images/pnpm-example",
            "pnpm install --frozen-lockfile --prefer-offline",
            "node -p 'require(\"is-odd\")(3)'",
            "true",
        ),
    ],
)
def test_npm_and_pnpm_do_so_too(
    containers: Containers, built: Built, tool: str, folder: str, install: str, shows: str, said: str
) -> None:
    workspace = built.root / folder
    image = build_warm(built, f"warm-{tool}", workspace)
    job = containers.feed(
        image,
        ["mkdir /tmp/job && cd /tmp/job && cp /lock/* .", install, shows],
        mounts={workspace: "/lock:ro"},
    )
    assert job.wait(JOB_END_S) == 0, job.log
    assert job.log.splitlines()[-1].startswith(said)
