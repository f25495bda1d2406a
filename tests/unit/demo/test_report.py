from inline_snapshot import snapshot

from nx_dte.demo.figures import TaskRun
from nx_dte.demo.report import DemoOutcome, render, task_table

RUNS = [
    TaskRun(
        task_id="shop:build", agent="agent2", started_at=101.3, ended_at=103.7, dependencies=("util:build",)
    ),
    TaskRun(task_id="util:build", agent="agent1", started_at=100.0, ended_at=101.2),
]


def test_a_run_without_tasks_says_so() -> None:
    assert task_table([]) == "No task was run on an agent."


def test_report_shows_where_tasks_ran_and_how_long_everything_took() -> None:
    outcome = DemoOutcome(
        runs=RUNS,
        agents=3,
        parallel=2,
        main_code=0,
        plain_code=0,
        main_affected_s=4.04,
        plain_affected_s=12.5,
        main_job_s=7,
        plain_job_s=14,
    )
    assert render(outcome) == snapshot("""\
task        agent   start   time
util:build  agent1  0.00 s  1.20 s
shop:build  agent2  1.30 s  2.40 s

agent   tasks
agent1      1
agent2      1

               distributed  plain nx
nx affected          4.0 s    12.5 s
the whole job        7.0 s    14.0 s

first task's start to last task's end    3.7 s
lower bound max(critical path, work ÷ slots)    3.6 s
  critical path    3.6 s    util:build → shop:build
  work ÷ slots     0.6 s    3.6 s ÷ (3 agents x 2)

exit code of the main job: 0    of plain nx: 0\
""")
