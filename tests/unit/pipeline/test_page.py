"""docs/pipeline.md and the code say the same."""

from __future__ import annotations

import re
from pathlib import Path

from nx_dte.cli.pipeline import pipeline
from nx_dte.pipeline.finding import FaultCode, advice, meaning

PAGE = (Path(__file__).resolve().parents[3] / "docs/pipeline.md").read_text(encoding="utf-8")


def options_of(command: str) -> set[str]:
    return {
        name for parameter in pipeline.commands[command].params for name in parameter.opts if name[0] == "-"
    }


def section(title: str) -> str:
    _, _, rest = PAGE.partition(f"\n## {title}\n")
    assert rest, title
    return rest.partition("\n## ")[0]


def test_the_table_of_faults_is_that_of_the_code() -> None:
    rows = re.findall(
        r"^\| `([a-z-]+)` \| (.+?) \| (.+) \|$", section("Faults that lint finds"), re.MULTILINE
    )
    in_cells = [(code.value, meaning(code), advice(code).replace("|", "\\|")) for code in FaultCode]
    assert rows == in_cells


def test_every_option_of_render_is_on_the_page_and_no_other() -> None:
    named = set(re.findall(r"`(--[a-z-]+)", section("Options of render")))
    assert named == options_of("render")


def test_options_of_lint_are_named() -> None:
    assert options_of("lint") <= set(re.findall(r"`?(--[a-z-]+)", PAGE))
