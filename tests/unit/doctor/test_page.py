"""docs/doctor.md names every check, for whom it is, and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nx_dte.doctor.checks import CHECKS
from nx_dte.doctor.checks.coordinator import LOADER_LIMIT_S
from nx_dte.doctor.role import JOBS, Role

if TYPE_CHECKING:
    from pathlib import Path

ROW = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \| ([^|]+) \|", re.MULTILINE)
WORDS = {"main": {Role.MAIN}, "jobs": set(JOBS), "host": {Role.HOST}, "image": {Role.IMAGE}, "all": set(Role)}


def test_the_page_lists_the_checks_and_their_roles(repository_root: Path) -> None:
    page = (repository_root / "docs/doctor.md").read_text(encoding="utf-8")
    listed: dict[str, frozenset[Role]] = {}
    for names, whom in ROW.findall(page.partition("## What it looks at")[2]):
        words = [word for word in whom.replace("with `--origin`", "").split(", ") if word.strip()]
        roles = {role for word in words for role in WORDS[word.strip()]}
        listed |= dict.fromkeys(re.findall(r"`(\w+)`", names), frozenset(roles))
    assert listed == {check.check_id: check.roles for check in CHECKS}
    assert LOADER_LIMIT_S == 10
