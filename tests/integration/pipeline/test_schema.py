"""GitLab's own schema of pipeline files has nothing to say against any file that is rendered."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings

from nx_dte.pipeline import GuardJob, PackageManager, PipelineKind, PipelineOptions, Workspace, render
from tests.unit.pipeline.some_options import OPTIONS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
COMMAND = ("nx", "affected", "-t", "build")


def checked(*files: Path) -> subprocess.CompletedProcess[str]:
    """One call for all: it takes a second to start."""
    program = Path(sys.executable).with_name("check-jsonschema")
    return subprocess.run(
        [program, "--builtin-schema", "vendor.gitlab-ci", *files],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def test_files_of_all_combinations_and_of_odd_values(tmp_path: Path) -> None:
    texts = [
        render(
            PipelineOptions(
                workspace=Workspace(package_manager=manager, lock_file="the.lock", is_yarn_berry=is_berry),
                commands=(COMMAND,),
                guard=guard,
                coordinator_url=url,
                audience=url,
                image=image,
                agents=agents,
                kinds=kinds,
                artifacts=artifacts,
                main_tags=tags,
                agent_tags=tags,
            )
        )
        for (manager, is_berry), guard, url, image, agents, kinds, artifacts, tags in itertools.product(
            [(PackageManager.NPM, False), (PackageManager.YARN, True)],
            GuardJob,
            [None, "https://nx-dte.example.org"],
            [None, "registry.example.org:5000/nx-dte:1"],
            [1, 200],
            [frozenset(PipelineKind), frozenset({PipelineKind.TAGS})],
            [()],
            [(), ("one", "two")],
        )
    ]

    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(made=OPTIONS)
    def collect(made: PipelineOptions) -> None:
        texts.append(render(made))

    collect()
    files = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f"{number}.yml")
        files[-1].write_text(text, encoding="utf-8")
    result = checked(*files)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(files) > 200


def test_the_schema_is_not_content_with_everything(tmp_path: Path) -> None:
    good = render(PipelineOptions(commands=(COMMAND,)))
    for old, new in [("parallel: 3", "parallel: many"), ("retry: 0", "retry: 9")]:
        assert old in good
        file = tmp_path / "bad.yml"
        file.write_text(good.replace(old, new, 1), encoding="utf-8")
        assert checked(file).returncode == 1
