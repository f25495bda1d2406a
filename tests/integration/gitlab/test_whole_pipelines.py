"""Whole pipelines of plain shell jobs: stand-in and protocol client together."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.gitlab.driver import jobs_of, states

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.gitlab.server import StandIn
    from tests.support.gitlab.work_tree import WorkTree
    from tests.support.runner.runner import ProtocolRunner

pytestmark = pytest.mark.slow
END_S = 40.0
ENDED = {"success", "failed", "canceled", "skipped"}


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + END_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {END_S:g} s"
        time.sleep(0.05)


def status(gitlab: StandIn, pipeline_id: int) -> str:
    found: str = gitlab.call("GET", f"/projects/acme%2Fshop/pipelines/{pipeline_id}")["status"]
    return found


def wait_for_end(gitlab: StandIn, pipeline_id: int) -> str:
    wait_until(lambda: status(gitlab, pipeline_id) in ENDED, f"pipeline {pipeline_id} ends")
    return status(gitlab, pipeline_id)


def trace(gitlab: StandIn, job_id: int) -> str:
    return gitlab.api.get(f"/projects/acme%2Fshop/jobs/{job_id}/trace").text


def job_named(gitlab: StandIn, pipeline_id: int, name: str) -> int:
    return next(int(job["id"]) for job in jobs_of(gitlab, pipeline_id) if job["name"] == name)


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "zombie" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return False


def test_artifacts_variables_and_the_checkout_travel(
    gitlab: StandIn, tree: WorkTree, start_runner: Callable[..., ProtocolRunner]
) -> None:
    tree.commit({"tool.sh": "echo from the checkout"})
    start_runner(gitlab.add_runner(run_untagged=True))
    pipeline_id = gitlab.start_pipeline(
        "acme/shop",
        ci_file="""
stages: [make, use]
make:
  stage: make
  before_script: ["cd ."]
  script:
    - X=kept
    - mkdir -p dist/deep && echo "$X" > dist/deep/file && ln -s deep/file dist/link && chmod 750 dist/deep/file
    - echo "COLOUR=blue" > out.env
    - |
      echo several
      echo lines
  after_script: ['echo "after: $CI_JOB_STATUS ${X:-gone}"']
  artifacts: {paths: [dist], reports: {dotenv: out.env}}
use:
  stage: use
  script:
    - bash tool.sh
    - cat dist/link && stat -c %a dist/deep/file
    - echo "colour $COLOUR, in $(basename "$CI_PROJECT_DIR") of $CI_PROJECT_PATH"
    - echo "secret $CI_JOB_TOKEN"
bare:
  stage: use
  variables: {GIT_STRATEGY: none}
  dependencies: []
  script: ["ls tool.sh dist || echo nothing here"]
""",
    )
    assert wait_for_end(gitlab, pipeline_id) == "success"
    made = trace(gitlab, job_named(gitlab, pipeline_id, "make"))
    assert "$ X=kept" in made
    assert "$ echo several # collapsed multi-line command" in made
    assert "after: success gone" in made
    used = trace(gitlab, job_named(gitlab, pipeline_id, "use"))
    assert "from the checkout\n" in used
    assert "kept\n750\n" in used
    assert "colour blue, in shop of acme/shop" in used
    assert "secret [MASKED]" in used


def test_a_failing_line_ends_the_script(
    gitlab: StandIn, tree: WorkTree, start_runner: Callable[..., ProtocolRunner]
) -> None:
    """The code comes through from `exit`; a command's own is 1 unless the feature flag is set. So with the real one."""
    assert tree.head
    start_runner(gitlab.add_runner(run_untagged=True))
    pipeline_id = gitlab.start_pipeline(
        "acme/shop",
        ci_file="""
exit: {script: [exit 3, echo never], allow_failure: {exit_codes: [3]}}
passed_on: {script: ["bash -c 'exit 3' || exit $?", echo never], allow_failure: {exit_codes: [3]}}
command: {script: ["bash -c 'exit 3'", echo never], allow_failure: {exit_codes: [1]}}
flag:
  variables: {FF_USE_NEW_BASH_EVAL_STRATEGY: "true"}
  script: ["bash -c 'exit 3'", echo never]
  allow_failure: {exit_codes: [3]}
pipe: {script: ["(exit 4) | cat", echo never], allow_failure: {exit_codes: [1]}}
signal: {script: ["kill -9 $$"], allow_failure: {exit_codes: [137]}}
""",
    )
    ended = wait_for_end(gitlab, pipeline_id)
    jobs = {job["name"]: job for job in jobs_of(gitlab, pipeline_id)}
    traces = {name: trace(gitlab, job["id"]) for name, job in jobs.items()}
    assert ended == "success", traces
    assert {job["failure_reason"] for job in jobs.values()} == {"script_failure"}
    assert not any("\nnever" in text for text in traces.values())


def test_an_agent_that_mirrors_main_comes_back_with_it(
    gitlab: StandIn, tree: WorkTree, start_runner: Callable[..., ProtocolRunner], tmp_path: Path
) -> None:
    """The outline of what the product needs: one file is the coordinator."""
    assert tree.head
    start_runner(gitlab.add_runner("nx-main"))
    start_runner(gitlab.add_runner("nx-agent"))
    text = f"""
stages: [affected]
guard: {{stage: .pre, tags: [nx-main], variables: {{GIT_STRATEGY: none}}, script: [echo ok]}}
main:
  stage: affected
  needs: [guard]
  tags: [nx-main]
  script: ['test -e {tmp_path}/fixed']
agent:
  stage: affected
  needs: [guard]
  tags: [nx-agent]
  parallel: 2
  script: ['test -e {tmp_path}/fixed || exit 77']
  allow_failure: {{exit_codes: [77]}}
"""
    pipeline_id = gitlab.start_pipeline("acme/shop", ci_file=text)
    assert wait_for_end(gitlab, pipeline_id) == "failed"
    wait_until(lambda: set(states(gitlab, pipeline_id).values()) <= ENDED, "all jobs end")
    (tmp_path / "fixed").touch()
    gitlab.call("POST", f"/projects/acme%2Fshop/pipelines/{pipeline_id}/retry")
    assert wait_for_end(gitlab, pipeline_id) == "success"
    rows = [job["name"] for job in jobs_of(gitlab, pipeline_id, with_retried=True)]
    assert sorted(rows) == ["agent 1/2"] * 2 + ["agent 2/2"] * 2 + ["guard"] + ["main"] * 2


def test_a_retried_job_makes_the_newest_artifacts(
    gitlab: StandIn, tree: WorkTree, start_runner: Callable[..., ProtocolRunner]
) -> None:
    assert tree.head
    start_runner(gitlab.add_runner(run_untagged=True))
    pipeline_id = gitlab.start_pipeline(
        "acme/shop",
        ci_file="""
stages: [make, use]
make:
  stage: make
  script: ['echo "ID=$CI_JOB_ID" > out.env', 'echo "$CI_JOB_ID" > file']
  artifacts: {paths: [file], reports: {dotenv: out.env}}
use: {stage: use, script: ['echo "got $ID and $(cat file)"']}
""",
    )
    assert wait_for_end(gitlab, pipeline_id) == "success"
    first = job_named(gitlab, pipeline_id, "make")
    second = gitlab.call("POST", f"/projects/acme%2Fshop/jobs/{first}/retry")["id"]
    assert wait_for_end(gitlab, pipeline_id) == "success"
    use = job_named(gitlab, pipeline_id, "use")
    again = gitlab.call("POST", f"/projects/acme%2Fshop/jobs/{use}/retry")["id"]
    assert wait_for_end(gitlab, pipeline_id) == "success"
    assert f"got {first} and {first}" in trace(gitlab, use)
    assert f"got {second} and {second}" in trace(gitlab, again)


def test_exit_code_76_is_retried_until_it_is_enough(
    gitlab: StandIn, tree: WorkTree, start_runner: Callable[..., ProtocolRunner]
) -> None:
    assert tree.head
    start_runner(gitlab.add_runner(run_untagged=True))
    text = (
        "agent: {script: [exit 76], retry: {max: 2, exit_codes: [76]}, allow_failure: {exit_codes: [76]}}\n"
    )
    pipeline_id = gitlab.start_pipeline("acme/shop", ci_file=text)
    assert wait_for_end(gitlab, pipeline_id) == "success"
    rows = jobs_of(gitlab, pipeline_id, with_retried=True)
    assert [job["status"] for job in rows] == ["failed"] * 3


STUBBORN = """
job:
  script:
    - (trap '' TERM; echo $BASHPID > "$PIDS/stubborn"; while true; do sleep 0.2; done) &
    - setsid sleep 300 > /dev/null 2>&1 < /dev/null & echo $! > "$PIDS/moved"
    - (trap 'echo told | tee "$PIDS/told"; exit' TERM; echo $BASHPID > "$PIDS/polite"; while true; do sleep 0.1; done) &
    - wait
"""


@pytest.mark.parametrize("knows_canceling", [True, False])
def test_cancel_tells_every_process_and_kills_what_stays(
    gitlab: StandIn,
    tree: WorkTree,
    start_runner: Callable[..., ProtocolRunner],
    tmp_path: Path,
    *,
    knows_canceling: bool,
) -> None:
    assert tree.head
    gitlab.instance.settings.knows_canceling = knows_canceling
    start_runner(gitlab.add_runner(run_untagged=True), kill_after_s=1.0)
    text = f"variables: {{PIDS: {tmp_path}}}\n{STUBBORN}"
    pipeline_id = gitlab.start_pipeline("acme/shop", ci_file=text)
    files = [tmp_path / name for name in ("stubborn", "moved", "polite")]
    wait_until(lambda: all(file.exists() and file.read_text() for file in files), "the job has started all")
    pids = [int(file.read_text()) for file in files]
    gitlab.call("POST", f"/projects/acme%2Fshop/pipelines/{pipeline_id}/cancel")
    wait_until(lambda: not any(is_alive(pid) for pid in pids), "no process of the job is left")
    assert (tmp_path / "told").exists(), "it was killed without being told"
    assert wait_for_end(gitlab, pipeline_id) == "canceled"
    if knows_canceling:
        job_id = job_named(gitlab, pipeline_id, "job")
        wait_until(lambda: "\ntold\n" in trace(gitlab, job_id), "the trace has what a told process said")


def test_a_graceful_cancel_still_runs_after_script(
    gitlab: StandIn, tree: WorkTree, start_runner: Callable[..., ProtocolRunner], tmp_path: Path
) -> None:
    assert tree.head
    start_runner(gitlab.add_runner(run_untagged=True))
    text = f"job: {{script: ['touch {tmp_path}/on', sleep 300], after_script: ['echo \"was $CI_JOB_STATUS\"']}}\n"
    pipeline_id = gitlab.start_pipeline("acme/shop", ci_file=text)
    wait_until((tmp_path / "on").exists, "the job runs")
    gitlab.call("POST", f"/projects/acme%2Fshop/pipelines/{pipeline_id}/cancel")
    assert wait_for_end(gitlab, pipeline_id) == "canceled"
    assert "was canceled" in trace(gitlab, job_named(gitlab, pipeline_id, "job"))


def test_a_lost_host_is_silent_until_gitlab_gives_its_job_up(
    gitlab: StandIn, tree: WorkTree, start_runner: Callable[..., ProtocolRunner], tmp_path: Path
) -> None:
    assert tree.head
    token = gitlab.add_runner(run_untagged=True)
    first = start_runner(token)
    pipeline_id = gitlab.start_pipeline(
        "acme/shop",
        ci_file=f"""
job:
  script: ['test -e {tmp_path}/second || (echo $BASHPID > {tmp_path}/pid; sleep 300)']
  retry: {{max: 1, when: [stuck_or_timeout_failure]}}
""",
    )
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the job runs")
    first.lose_host()
    wait_until(lambda: not first.builds, "everything of the host is gone")
    assert not is_alive(int((tmp_path / "pid").read_text()))
    assert states(gitlab, pipeline_id) == {"job": "running"}
    (tmp_path / "second").touch()
    start_runner(token)
    gitlab.call("POST", f"/-/stand-in/jobs/{job_named(gitlab, pipeline_id, 'job')}/lose")
    assert wait_for_end(gitlab, pipeline_id) == "success"


def test_more_pipelines_than_slots_all_end(
    gitlab: StandIn, tree: WorkTree, start_runner: Callable[..., ProtocolRunner], tmp_path: Path
) -> None:
    assert tree.head
    runner = start_runner(gitlab.add_runner(run_untagged=True), concurrent=2)
    text = f"""
main: {{script: [echo main]}}
agent:
  parallel: 2
  script: ['mkdir -p {tmp_path}/now && touch {tmp_path}/now/$CI_JOB_ID && ls {tmp_path}/now | wc -l', 'rm {tmp_path}/now/$CI_JOB_ID']
"""
    ids = [gitlab.start_pipeline("acme/shop", ci_file=text) for _ in range(3)]
    assert [wait_for_end(gitlab, pipeline_id) for pipeline_id in ids] == ["success"] * 3
    wait_until(lambda: not runner.builds, "the runner is idle")


def test_limit_holds_for_one_token(
    gitlab: StandIn, tree: WorkTree, start_runner: Callable[..., ProtocolRunner], tmp_path: Path
) -> None:
    assert tree.head
    runner = start_runner(gitlab.add_runner(run_untagged=True), concurrent=4, limit=1)
    text = f"job: {{parallel: 2, script: ['until test -e {tmp_path}/go; do sleep 0.05; done']}}\n"
    pipeline_id = gitlab.start_pipeline("acme/shop", ci_file=text)
    wait_until(lambda: runner.builds, "one runs")
    assert sorted(states(gitlab, pipeline_id).values()) == ["pending", "running"]
    (tmp_path / "go").touch()
    assert wait_for_end(gitlab, pipeline_id) == "success"


def test_caches_stay_with_the_host(
    gitlab: StandIn, tree: WorkTree, start_runner: Callable[..., ProtocolRunner]
) -> None:
    tree.commit({"lock": "1"})
    start_runner(gitlab.add_runner(run_untagged=True), concurrent=1)
    cache = "{key: {files: [lock]}, paths: [stuff/], policy: %s}"
    text = f"""
stages: [a, b, c]
push: {{stage: a, script: [mkdir stuff, echo warm > stuff/x], cache: {cache % "push"}}}
pull: {{stage: b, script: [cat stuff/x, echo spoilt > stuff/x], cache: {cache % "pull"}}}
again: {{stage: c, script: [cat stuff/x], cache: {cache % "pull-push"}}}
"""
    pipeline_id = gitlab.start_pipeline("acme/shop", ci_file=text)
    assert wait_for_end(gitlab, pipeline_id) == "success"
    for name in ("pull", "again"):
        assert "\nwarm\n" in trace(gitlab, job_named(gitlab, pipeline_id, name))


def test_a_drained_runner_ends_its_jobs_and_takes_no_more(
    gitlab: StandIn, tree: WorkTree, start_runner: Callable[..., ProtocolRunner], tmp_path: Path
) -> None:
    assert tree.head
    runner = start_runner(gitlab.add_runner(run_untagged=True), concurrent=1)
    text = f"job: {{parallel: 2, script: ['until test -e {tmp_path}/go; do sleep 0.05; done']}}\n"
    pipeline_id = gitlab.start_pipeline("acme/shop", ci_file=text)
    wait_until(lambda: runner.builds, "one runs")
    runner.drain()
    (tmp_path / "go").touch()
    wait_until(lambda: not runner.builds, "the job has ended")
    assert sorted(states(gitlab, pipeline_id).values()) == ["pending", "success"]


def test_a_job_that_takes_too_long_is_stopped(
    gitlab: StandIn, tree: WorkTree, start_runner: Callable[..., ProtocolRunner]
) -> None:
    assert tree.head
    start_runner(gitlab.add_runner(run_untagged=True), kill_after_s=0.5)
    pipeline_id = gitlab.start_pipeline("acme/shop", ci_file="job: {script: [sleep 300], timeout: 1s}\n")
    assert wait_for_end(gitlab, pipeline_id) == "failed"
    assert jobs_of(gitlab, pipeline_id)[0]["failure_reason"] == "job_execution_timeout"


def test_job_processes_share_a_session_led_by_bash(
    gitlab: StandIn, tree: WorkTree, start_runner: Callable[..., ProtocolRunner]
) -> None:
    """What a helper that ties its life to the job's shell relies on."""
    assert tree.head
    start_runner(gitlab.add_runner(run_untagged=True))
    text = """
job:
  script:
    - read -r _ _ _ parent group session _ < /proc/self/stat
    - test "$group" = "$session"
    - bash -c 'read -r _ _ _ _ group _ < /proc/self/stat; test "$group" = '"$group"
    - echo "leader $(cat /proc/$group/comm), input $(wc -c)"
"""
    pipeline_id = gitlab.start_pipeline("acme/shop", ci_file=text)
    assert wait_for_end(gitlab, pipeline_id) == "success"
    assert "leader bash, input 0" in trace(gitlab, job_named(gitlab, pipeline_id, "job"))
    assert os.getpid()
