"""Runs scenarios, two at a time, each as a process of its own with a log, a deadline and a clean end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from toolchain.images.docker import DockerError, docker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from toolchain.molecule.scenarios import Scenario

__all__ = ["Outcome", "Phases", "run_all", "sweep"]

LABEL = "nx-dte.molecule"
"""On all that molecule/shared/create.yml makes; its value is the scenario."""
LONGEST = frozenset({"fleet", "lifecycle", "upgrade"})
"""As measured. What begins last must not end long after all others."""
SIDE_BY_SIDE = 2
DEADLINE_S = 1800.0
STOP_S = 60.0
SWEEP_S = 300.0
SHOWN_LINES = 80
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PHASE = re.compile(r"^INFO +\[[\w-]+ > (?P<phase>\w+)\] Executing$")
_LIVE: set[subprocess.Popen[str]] = set()
"""The scenarios' processes that run now."""


@dataclass(slots=True)
class Phases:
    """How long each phase takes, from the lines that molecule prints at their beginnings."""

    began: list[tuple[str, float]] = field(default_factory=list)

    def see(self, line: str, now: float) -> None:
        """Look at one line of output that came at this time."""
        if match := _PHASE.match(line.rstrip()):
            self.began.append((match["phase"], now))

    def durations(self, end: float) -> list[tuple[str, float]]:
        """Each phase and its seconds, in order."""
        moments = [*(moment for _, moment in self.began), end]
        return [(phase, moments[number + 1] - moment) for number, (phase, moment) in enumerate(self.began)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one scenario went."""

    name: str
    is_good: bool
    duration_s: float
    phases: list[tuple[str, float]]
    why: str = ""

    def line(self) -> str:
        """One line for people."""
        shown = ", ".join(f"{phase} {seconds:.0f}" for phase, seconds in self.phases)
        verdict = "passed" if self.is_good else f"FAILED ({self.why})"
        return f"{self.name}: {verdict} in {self.duration_s:.0f} s: {shown}"


def run_all(root: Path, scenarios: Sequence[Scenario], *, side_by_side: int = SIDE_BY_SIDE) -> bool:
    """Run these scenarios, the longest first; whether all were good. Each one's result is printed as it ends."""
    ordered = sorted(scenarios, key=lambda scenario: (scenario.name not in LONGEST, -len(scenario.instances)))
    with ThreadPoolExecutor(max_workers=side_by_side) as pool:
        running = [pool.submit(_run_and_tell, root, scenario) for scenario in ordered]
        try:
            outcomes = [future.result() for future in running]
        except BaseException:  # an interrupt: what runs must end, and what has not begun must not begin
            pool.shutdown(wait=False, cancel_futures=True)
            for process in tuple(_LIVE):
                _end(process)
            raise
    print("\nscenarios:")
    for outcome in outcomes:
        print(f"  {outcome.line()}", flush=True)
    return all(outcome.is_good for outcome in outcomes)


def _run_and_tell(root: Path, scenario: Scenario) -> Outcome:
    log = root / f".cache/molecule/{scenario.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    # Two of the same name would remove each other's hosts.
    with log.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        outcome = _run(root, scenario, log)
    lines = [outcome.line()]
    if not outcome.is_good:
        with log.open(encoding="utf-8") as file:
            lines += [f"  the end of {log}:", *(f"  | {line.rstrip()}" for line in deque(file, SHOWN_LINES))]
        lines.append(f"  the hosts' journals: {log.parent}/{scenario.name}-*.journal")
    print("\n".join(lines), flush=True)
    return outcome


def _run(root: Path, scenario: Scenario, log: Path) -> Outcome:
    phases, began, why = Phases(), time.monotonic(), ""
    sweep(scenario.name)
    try:
        with log.open("w", encoding="utf-8") as output, _molecule(root, scenario.name) as process:
            watch = _Deadline(process, began + DEADLINE_S)
            with watch:
                for line in process.stdout or ():
                    plain = _COLOUR.sub("", line)
                    phases.see(plain, time.monotonic())
                    output.write(plain)
                    output.flush()
                code = process.wait()
        if watch.is_over:
            why = f"it did not end within {DEADLINE_S:g} s"
        elif code != 0:
            why = f"molecule ended with {code}"
        if why:
            _keep_journals(scenario, log.parent)
    finally:
        sweep(scenario.name)
    end = time.monotonic()
    return Outcome(
        name=scenario.name,
        is_good=not why,
        duration_s=end - began,
        phases=phases.durations(end),
        why=why,
    )


@contextlib.contextmanager
def _molecule(root: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    """The process, in a session of its own: an interrupt at the terminal is for us, and we end it with its children."""
    folder = root / ".cache/molecule/run" / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    process = subprocess.Popen(
        # Hosts are removed by sweep(), which is quicker, and after their journals have been read.
        [str(root / ".venv/bin/molecule"), "test", "--scenario-name", name, "--destroy", "never"],
        cwd=root,
        env=environment(root, folder, os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    _LIVE.add(process)
    try:
        yield process
    finally:
        _end(process)
        _LIVE.discard(process)
        if process.stdout is not None:
            process.stdout.close()


def environment(root: Path, folder: Path, given: Mapping[str, str]) -> dict[str, str]:
    """What molecule and Ansible get: everything given, and folders of their own below `folder`."""
    return {
        **given,
        "PATH": f"{root / '.venv/bin'}:{given.get('PATH', os.defpath)}",
        "ANSIBLE_COLLECTIONS_PATH": str(root / ".cache/toolchain/collections"),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "MOLECULE_EPHEMERAL_DIRECTORY": str(folder / "molecule"),
        "NO_COLOR": "1",
        "PYTHONPYCACHEPREFIX": str(root / ".cache/pycache"),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(folder / "tmp"),
    }


class _Deadline:
    """Ends a process at a time, from a thread, while the block runs."""

    def __init__(self, process: subprocess.Popen[str], at: float) -> None:
        self.is_over = False
        self._process = process
        self._at = at
        self._pool = ThreadPoolExecutor(max_workers=1)

    def __enter__(self) -> None:
        self._pool.submit(self._wait)

    def __exit__(self, *exception: object) -> None:
        if exception[0] is not None:
            _end(self._process)
        self._pool.shutdown()

    def _wait(self) -> None:
        try:
            self._process.wait(max(0.0, self._at - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.is_over = True
            _end(self._process)


def _end(process: subprocess.Popen[str]) -> None:
    """Tell the process and its children, and kill what is left of them a minute later."""
    for number, patience_s in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, STOP_S)):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)


def _keep_journals(scenario: Scenario, folder: Path) -> None:
    """Write down what the hosts of a scenario that failed have logged."""
    for host in scenario.instances:
        try:
            said = docker("exec", host, "journalctl", "--no-pager", "--lines", "1000")
        except DockerError as error:
            said = str(error)
        (folder / f"{host}.journal").write_text(f"{said}\n", encoding="utf-8")


def sweep(name: str) -> None:
    """Remove what a scenario has left, by its label: hosts with their volumes, then the network."""
    chosen = ("--quiet", "--filter", f"label={LABEL}={name}")
    try:
        if containers := docker("ps", "--all", *chosen).split():
            docker("rm", "--force", "--volumes", *containers, timeout_s=SWEEP_S)
        if networks := docker("network", "ls", *chosen).split():
            docker("network", "rm", *networks)
    except DockerError as error:
        print(f"molecule: {name}: {error}", file=sys.stderr, flush=True)
