"""Jobs behave as on GitLab's shell executor; real bash, no Nx."""

import os
from pathlib import Path

import pytest

from nx_dte.demo.errors import DemoFailedError
from nx_dte.demo.jobs import Job, JobSpec, start_job
from nx_dte.demo.workspace import Clone


def start(folder: Path, *script: str) -> Job:
    checkout, home = folder / "checkout", folder / "home"
    checkout.mkdir()
    home.mkdir()
    clone = Clone(path=checkout, home=home, commit="0" * 40)
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    return start_job(JobSpec(name="job", script=script, clone=clone, environment=environment))


def test_each_line_is_echoed_and_its_output_follows(tmp_path: Path) -> None:
    job = start(tmp_path, "WHO='the world'", 'echo "hello $WHO" >&2')
    assert job.wait(10) == 0
    assert job.log.split("\n") == ["$ WHO='the world'", '$ echo "hello $WHO" >&2', "hello the world"]
    assert job.log_file.read_text() == job.log + "\n"


def test_the_first_failing_line_ends_the_script_with_its_code(tmp_path: Path) -> None:
    job = start(tmp_path, "(exit 7)", "echo never")
    assert job.wait(10) == 7
    assert "$ echo never" not in job.log


def test_a_late_job_is_killed_and_its_log_is_in_the_error(tmp_path: Path) -> None:
    job = start(tmp_path, "echo started", "sleep 60")
    job.wait_for_text("$ sleep", 10)
    with pytest.raises(DemoFailedError, match=r"did not end within 0.1 s(.|\n)*started"):
        job.wait(0.1)
    assert job.process.poll() == -9


def test_a_background_process_that_keeps_the_output_keeps_the_job(tmp_path: Path) -> None:
    job = start(tmp_path, "sleep 60 &")
    with pytest.raises(DemoFailedError, match="something still holds its output"):
        job.wait(0.5)


def test_a_background_process_without_the_jobs_streams_does_not(tmp_path: Path) -> None:
    job = start(tmp_path, "sleep 60 < /dev/null > /dev/null 2>&1 &")
    assert job.wait(10) == 0
    assert not job.is_running
    job.kill()


def test_waiting_for_a_text_ends_with_the_job(tmp_path: Path) -> None:
    job = start(tmp_path, "echo something else")
    with pytest.raises(DemoFailedError, match="never printed 'my words'"):
        job.wait_for_text("my words", 30)
