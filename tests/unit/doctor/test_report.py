"""How an examination is written down."""

from __future__ import annotations

import json
from pathlib import Path

import nx_dte
from nx_dte.doctor.examining import Examination
from nx_dte.doctor.findings import note, ok, problem
from nx_dte.doctor.report import as_json, as_text
from nx_dte.doctor.role import Role

EXAMINATION = Examination(
    role=Role.AGENT,
    directory=Path("/builds/demo"),
    findings={
        "git": ok("2.39.5 at /usr/bin/git"),
        "checkout": problem(
            "git refuses to work here", "git config --global --add safe.directory /builds/demo"
        ),
        "nx": note("not checked: no nx.json"),
    },
)
TEXT = f"""\
nx-dte doctor {nx_dte.__version__}: agent job, /builds/demo
  ok       git       2.39.5 at /usr/bin/git
  problem  checkout  git refuses to work here
                     -> git config --global --add safe.directory /builds/demo
  note     nx        not checked: no nx.json
1 problem, 1 note, 1 ok"""


def test_as_text() -> None:
    assert as_text(EXAMINATION) == TEXT


def test_the_last_line_of_a_good_one() -> None:
    good = Examination(role=Role.MAIN, directory=Path("/x"), findings={"git": ok("2.39.5")})
    assert as_text(good).splitlines()[-1] == "no problems, no notes, 1 ok"
    assert not good.has_problem


def test_as_json() -> None:
    """Programs read this: fields are only ever added."""
    assert json.loads(as_json(EXAMINATION)) == {
        "nx_dte": nx_dte.__version__,
        "role": "agent",
        "directory": "/builds/demo",
        "has_problem": True,
        "checks": [
            {"id": "git", "status": "ok", "found": "2.39.5 at /usr/bin/git", "remedy": None},
            {
                "id": "checkout",
                "status": "problem",
                "found": "git refuses to work here",
                "remedy": "git config --global --add safe.directory /builds/demo",
            },
            {"id": "nx", "status": "note", "found": "not checked: no nx.json", "remedy": None},
        ],
    }
