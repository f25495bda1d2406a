from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import logging, structlog
from nx_dte.telemetry import configure_logging
configure_logging("info")
structlog.contextvars.bind_contextvars(ci_run_id="R1")
structlog.get_logger("x").info("a sentence", task_id="a:b")
structlog.get_logger("x").debug("not shown")
logging.getLogger("library").warning("a %s one", "foreign")
logging.getLogger("library").info("not shown")
"""


def test_lines_are_json_on_stderr_and_carry_bound_ids() -> None:
    # In a process of its own: logging belongs to the whole process, and this one is pytest's.
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)

    ours, foreign = (json.loads(line) for line in done.stderr.splitlines())
    assert done.stdout == ""
    assert (ours["event"], ours["ci_run_id"], ours["task_id"], ours["level"]) == (
        "a sentence",
        "R1",
        "a:b",
        "info",
    )
    assert (foreign["event"], foreign["logger"]) == ("a foreign one", "library")
