"""Runs the project's playbooks on the scenario's hosts, with other variables, to the end or beside what a test does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Playbook"]

ROOT = Path(__file__).resolve().parents[2]
END_S = 800.0
_RECAP = re.compile(
    r"^(?P<host>\S+) +: ok=\d+ +changed=(?P<changed>\d+) .*failed=(?P<failed>\d+)", re.MULTILINE
)


@dataclass(slots=True)
class Playbook:
    """One run; its output goes to a file, which can be read meanwhile."""

    process: subprocess.Popen[bytes]
    log: Path
    _file: IO[bytes]

    @classmethod
    def start(cls, name: str, log: Path, variables: Mapping[str, str]) -> Playbook:
        """Start one of ansible/playbooks."""
        extra = [part for key, value in variables.items() for part in ("-e", f"{key}={value}")]
        playbook = str(ROOT / f"ansible/playbooks/{name}.yml")
        file = log.open("wb")
        process = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                "--inventory",
                os.environ["MOLECULE_INVENTORY_FILE"],
                *extra,
                playbook,
            ],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": f"{_folder()}/ansible.cfg"},
        )
        return cls(process, log, file)

    @classmethod
    def run(cls, name: str, log: Path, variables: Mapping[str, str]) -> Playbook:
        """Run one of them to its end."""
        run = cls.start(name, log, variables)
        run.wait()
        return run

    @property
    def output(self) -> str:
        """What it has said so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        try:
            return self.process.wait(END_S)
        finally:
            self.end()

    def end(self) -> None:
        """Stop it, if it still runs."""
        if not self.is_over:
            self.process.terminate()
            self.process.wait(60)
        self._file.close()

    def changed(self) -> dict[str, int]:
        """How many tasks changed something, for each host."""
        return {match["host"]: int(match["changed"]) for match in _RECAP.finditer(self.output)}


def _folder() -> str:
    return os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]
