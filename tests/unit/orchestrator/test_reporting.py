"""What the summary is made of: a task's own words from its archive, and projects' folders from Nx's graph."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from nx_dte.orchestrator.reporting import project_roots, terminal_output

if TYPE_CHECKING:
    from pathlib import Path


def archive(**files: bytes) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name.replace("_", "-"))
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


def test_a_tasks_words_are_read_from_its_archive() -> None:
    assert (
        terminal_output(archive(code=b"1", terminal_output="für \udce4".encode("utf-8", "replace")))
        == "für ?"
    )
    assert terminal_output(archive(terminal_output=b"\xff!")) == "�!"
    assert terminal_output(archive(code=b"1")) == ""


@pytest.mark.parametrize(
    "data",
    [b"", b"<html>", archive(terminal_output=b"x" * 5000)[:40], b"\x1f\x8b" + b"\x00" * 50],
    ids=range(4),
)
def test_an_archive_that_is_none_says_nothing(data: bytes) -> None:
    assert terminal_output(data) == ""


@pytest.mark.parametrize(
    "name", [".nx/workspace-data/project-graph.json", "node_modules/.cache/nx/project-graph.json"]
)
def test_projects_have_the_folders_that_nx_has_found(tmp_path: Path, name: str) -> None:
    graph = {"nodes": {"ui": {"name": "ui", "data": {"root": "libs/ui"}}}}
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(json.dumps(graph))
    assert project_roots(tmp_path) == {"ui": "libs/ui"}


@pytest.mark.parametrize("text", [None, "no json", "[]", '{"nodes": {"ui": {}}}', '{"nodes": 3}'])
def test_without_a_graph_nobody_has_one(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / ".nx/workspace-data").mkdir(parents=True)
        (tmp_path / ".nx/workspace-data/project-graph.json").write_text(text)
    assert project_roots(tmp_path) == {}
