"""The agent's log: sections of its tasks' outputs, and what its lines say. The client's wording is looked up in the client."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nx_dte.agent.reading import AgentLog
from nx_dte.gitlab.sections import SectionLog

BUNDLE = Path(__file__).resolve().parents[3] / "src/nx_dte/light_client/bundle"
JOINED = b"[nx-dte] agent-1 joined CI run RUN as agent A.\n"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def log(*, is_gitlab: bool = True) -> tuple[AgentLog, list[str], Clock]:
    written: list[str] = []
    clock = Clock()
    sections = SectionLog(write=written.append, now=clock, is_gitlab=is_gitlab)
    return (
        AgentLog(write=lambda line: written.append(line.decode()), sections=sections, now=clock),
        written,
        clock,
    )


def test_a_tasks_output_is_a_folded_section_that_took_as_long_as_the_task() -> None:
    agent, written, clock = log()
    agent.take(b"[nx-dte] start: shop:build\n")
    clock.now += 7
    for line in (b"\n", b"[nx-dte] output of shop:build:\n", b"> node build\n", b"\n", b"built\n"):
        agent.take(line)
    agent.take(b"[nx-dte] done: shop:build (success)\n")
    assert written == [
        "[nx-dte] start: shop:build\n",
        "\x1b[0Ksection_start:1000:task_shop_build[collapsed=true]\r\x1b[0K\x1b[1mshop:build: output\x1b[0m\n",
        "> node build\n",
        "\n",
        "built\n",
        "\x1b[0Ksection_end:1007:task_shop_build\r\x1b[0K\n",
        "[nx-dte] done: shop:build (success)\n",
    ]


def test_outputs_in_a_row_do_not_nest() -> None:
    agent, written, _ = log()
    for task in ("a:b", "c:d"):
        agent.take(f"[nx-dte] output of {task}:\n".encode())
        agent.take(b"words\n")
    agent.end_section()
    order = re.findall(r"section_(start|end):\d+:(\w+)", "".join(written))
    assert order == [("start", "task_a_b"), ("end", "task_a_b"), ("start", "task_c_d"), ("end", "task_c_d")]


@pytest.mark.parametrize(
    "lines",
    [
        [b"yarn run v1\n", b"\n", b"\n", b"Waiting for tasks...\n", b"no end"],
        [b"\n", b"[nx-dte] start: a:b\n", b"\n", b"\n"],
        [b"\xff\xfe not UTF-8 \x00\n"],
    ],
)
def test_every_other_line_goes_through_as_it_is(lines: list[bytes]) -> None:
    written: list[bytes] = []
    sections = SectionLog(write=lambda text: written.append(text.encode()), now=lambda: 0.0, is_gitlab=True)
    agent = AgentLog(write=written.append, sections=sections, now=lambda: 0.0)
    for line in lines:
        agent.take(line)
    agent.end_section()
    assert b"".join(written) == b"".join(lines)


def test_off_gitlab_a_headline_stands_over_the_output() -> None:
    agent, written, _ = log(is_gitlab=False)
    agent.take(b"[nx-dte] output of a:b:\n")
    agent.take(b"words\n")
    agent.end_section()
    assert written == ["a:b: output\n", "words\n"]


@pytest.mark.parametrize(
    "end",
    [
        b"[nx-dte] done: shop:build (success)\n",
        b"[nx-dte] FAILED: shop:build (failure)\n",
        b"[nx-dte] NOT STORED, main runs it: shop:build (failure)\n",
        b"[nx-dte] WARNING: shop:build is left to another agent: it is broken\n",
        b"[nx-dte] WARNING: shop:build was taken back from this agent; what runs of it is ended.\n",
        b"[nx-dte] ERROR: shop:build could not be reported: away\n",
        b"[nx-dte] WARNING: the report of shop:build was refused: lease_over\n",
    ],
)
def test_a_task_runs_from_its_start_to_any_of_its_ends(end: bytes) -> None:
    agent, _, _ = log()
    assert agent.take(JOINED)
    assert agent.take(b"[nx-dte] start: shop:build (attempt 2)\n")
    assert list(agent.running) == [b"shop:build"]
    assert agent.take(b"[nx-dte] WARNING: shop:build: its outputs were not stored: full\n") is False
    assert list(agent.running) == [b"shop:build"]
    assert agent.take(end)
    assert not agent.running


def test_what_it_knows_of_one_process_is_forgotten_with_it() -> None:
    agent, written, _ = log()
    for line in (
        JOINED,
        b"[nx-dte] start: a:b\n",
        b"[nx-dte] SIGTERM: leaving; what\n",
        b"[nx-dte] output of a:b:\n",
    ):
        agent.take(line)
    assert (agent.has_joined, agent.is_leaving, len(agent.running)) == (True, True, 1)
    agent.forget()
    assert (agent.has_joined, agent.is_leaving, len(agent.running)) == (False, False, 0)
    assert "section_end" in written[-1]


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("log.js", "`[nx-dte] ${message}\\n`"),
        ("log.js", "`[nx-dte] WARNING: ${message}\\n`"),
        ("log.js", "`[nx-dte] ERROR: ${message}\\n`"),
        ("agent.js", "joined CI run ${this.runId} as agent ${this.agentId}."),
        ("agent.js", "`start: ${lease.task_id}${"),
        ("agent.js", "`${ENDED[result.outcome]}: ${lease.task_id} (${result.nx_status})`"),
        ("agent.js", "{ succeeded: 'done', failed: 'FAILED', not_stored: 'NOT STORED, main runs it' }"),
        ("agent.js", "`${lease.task_id} is left to another agent: "),
        ("agent.js", "`${work.taskId} was taken back from this agent; "),
        ("agent.js", "`${lease.task_id} could not be reported: "),
        ("agent.js", "`the report of ${lease.task_id} was refused: "),
        ("agent.js", "`${signal}: leaving; what is not finished goes back"),
        ("executor.js", "[nx-dte] output of ${task.id}:\\n"),
    ],
)
def test_the_client_still_says_it_so(file: str, words: str) -> None:
    assert words in (BUNDLE / file).read_text(encoding="utf-8")
