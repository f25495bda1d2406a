"""`nx-dte --help` is quick, because it imports nothing heavy."""

import json
import os
import subprocess
import sys

HEAVY = {
    "fastapi",
    "starlette",
    "uvicorn",
    "sqlalchemy",
    "alembic",
    "httpx2",
    "pydantic",
    "obstore",
    "psycopg",
    "jinja2",
    "yaml",
}
# The promise is 100 ms on an idle machine. The test must hold on a busy one of any speed: it counts processor time, not
# waiting, against the least a command line with click can take, measured in turn with it.
MOST_TIMES_CLICK = 2.0
TRIES = 5
HELP = ("-m", "nx_dte", "--help")
CLICK_ALONE = ("-c", "import click")

LIST_MODULES = """
import json, sys
from nx_dte.cli import cli
cli(["--help"], prog_name="nx-dte", standalone_mode=False)
print()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_help_imports_nothing_heavy() -> None:
    output = subprocess.run(
        [sys.executable, "-c", LIST_MODULES], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    assert "coordinator" in output
    loaded = set(json.loads(output.splitlines()[-1]))
    assert "click" in loaded
    assert not loaded & HEAVY


def _processor_seconds(arguments: tuple[str, ...]) -> float:
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def test_help_is_quick() -> None:
    pairs = [(_processor_seconds(HELP), _processor_seconds(CLICK_ALONE)) for _ in range(TRIES)]
    assert min(ours for ours, _ in pairs) < MOST_TIMES_CLICK * min(least for _, least in pairs)
