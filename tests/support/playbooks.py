"""Runs the project's playbooks as an operator does: a process, an inventory, variables, a recap."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PlaybookRun", "play"]

ROOT = Path(__file__).resolve().parents[2]
_RECAP = re.compile(
    r"^(?P<host>\S+) +: ok=\d+ +changed=(?P<changed>\d+) +unreachable=\d+ +failed=(?P<failed>\d+)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookRun:
    """How it ended."""

    code: int
    output: str

    @property
    def changed(self) -> dict[str, int]:
        """How many tasks changed something, by host."""
        return {match["host"]: int(match["changed"]) for match in _RECAP.finditer(self.output)}

    @property
    def words(self) -> str:
        """The output on one line, so that a message is found however it was broken into lines."""
        return " ".join(self.output.split())

    def insist(self) -> PlaybookRun:
        """The same, if it went well."""
        assert self.code == 0, self.output[-20_000:]
        return self


def play(
    name: str,
    inventory: Path,
    *options: str,
    variables: Mapping[str, Any] | None = None,
    timeout_s: float = 600,
) -> PlaybookRun:
    """Run `ansible/playbooks/NAME` with these variables on top of the inventory's."""
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "MOLECULE_PROJECT_DIRECTORY": str(ROOT),
    }
    extra = ("--extra-vars", json.dumps(variables)) if variables else ()
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "--inventory",
            inventory,
            *options,
            *extra,
            f"ansible/playbooks/{name}",
        ],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return PlaybookRun(code=done.returncode, output=done.stdout)
