"""The guard's two files: written whole, read back, and never a reason to fail."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nx_dte.gitlab import CiEnvironment
from nx_dte.rerun_guard import GuardRecord, record
from nx_dte.rerun_guard.recording import DOTENV_FILE, JSON_FILE, read

if TYPE_CHECKING:
    from pathlib import Path

JOB = {
    "CI_PIPELINE_ID": "70",
    "CI_JOB_ID": "100",
    "CI_JOB_STARTED_AT": "2026-03-01T12:00:00Z",
    "CI_COMMIT_SHA": "c0ffee",
    "CI_PROJECT_ID": "3",
}
ENVIRONMENT = CiEnvironment.from_environ(JOB)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written, problems = record(ENVIRONMENT, tmp_path)
    assert problems == ()
    assert read(tmp_path, {}) == (written, "")
    assert written.pipeline_id == "70"
    assert written.guard_started_at == ENVIRONMENT.job_started_at


def test_the_dotenv_file_alone_will_do(tmp_path: Path) -> None:
    written, _ = record(ENVIRONMENT, tmp_path)
    lines = (tmp_path / DOTENV_FILE).read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines)
    assert variables["NX_DTE_GUARD_PIPELINE_ID"] == "70"
    (tmp_path / JSON_FILE).unlink()
    found, _ = read(tmp_path, variables)
    assert found == written


def test_every_run_of_the_guard_is_told_apart(tmp_path: Path) -> None:
    first, _ = record(ENVIRONMENT, tmp_path)
    second, _ = record(ENVIRONMENT, tmp_path)
    assert first.nonce != second.nonce
    names = sorted(path.name for path in (tmp_path / ".nx-dte").iterdir())
    assert names == [".gitignore", "guard.env", "guard.json"]


def test_a_desk_has_no_pipeline_and_that_is_said(tmp_path: Path) -> None:
    _, problems = record(CiEnvironment.from_environ({}), tmp_path)
    assert any("pipeline_id" in problem for problem in problems)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / ".nx-dte").write_text("in the way")
    _, problems = record(ENVIRONMENT, tmp_path)
    assert any("cannot be written" in problem for problem in problems)


def test_a_variable_cannot_smuggle_lines_into_the_dotenv_file(tmp_path: Path) -> None:
    record(
        CiEnvironment.from_environ({**JOB, "CI_COMMIT_SHA": "c0ffee\nNX_CLOUD_API=http://elsewhere"}),
        tmp_path,
    )
    assert len((tmp_path / DOTENV_FILE).read_text().splitlines()) == 6


def test_a_file_that_is_no_record_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / ".nx-dte").mkdir()
    for content in ("", "[]", "{}", '{"pipeline_id": ""}', "\x00\xff"):
        (tmp_path / JSON_FILE).write_bytes(content.encode("latin-1"))
        found, problem = read(tmp_path, {})
        assert found is None
        assert problem


def test_strange_fields_count_as_absent(tmp_path: Path) -> None:
    (tmp_path / ".nx-dte").mkdir()
    texts = {"pipeline_id": 70, "guard_started_at": "yesterday", "sha": None, "more": [1]}
    (tmp_path / JSON_FILE).write_text(json.dumps(texts))
    assert read(tmp_path, {})[0] == GuardRecord(pipeline_id="70")
