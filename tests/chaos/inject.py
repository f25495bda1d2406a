"""Carries out a schedule: each fault in a thread of its own, at its time, and undone when it is over."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos.faults import Fault, FaultKind
from tests.support.processes import kill_all_of, processes_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from nx_dte.demo.workspace import Clone
    from tests.chaos.rig import Rig
    from tests.support.tcp_proxy import TcpProxy

__all__ = ["Injector"]

_JOIN_S = 150.0
_ROUNDS_OF_SIGNALS = 5


@dataclass(slots=True, kw_only=True)
class Injector:
    """One round's faults under way."""

    rig: Rig
    write: Callable[[str], None]
    started_at: float = 0.0
    done: list[Fault] = field(default_factory=list)
    """Those that were begun."""
    errors: list[str] = field(default_factory=list)
    """What the harness itself could not do."""
    _threads: list[threading.Thread] = field(default_factory=list)
    _called_off: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin the schedule now."""
        self.started_at = time.monotonic()
        for fault in self.rig.scenario.faults:
            thread = threading.Thread(target=self._carry_out, args=(fault,), name=str(fault), daemon=True)
            self._threads.append(thread)
            thread.start()

    def finish(self) -> None:
        """Call off what has not begun, wait until what has is undone, and put the coordinator up again."""
        self._called_off.set()
        for thread in self._threads:
            thread.join(_JOIN_S)
            if thread.is_alive():
                self.errors.append(f"{thread.name} does not end")
        self.rig.coordinator.ensure_started()

    def was_done(self, kind: FaultKind, target: str | None = None) -> bool:
        """Whether such a fault was begun."""
        return any(fault.kind is kind and target in {None, fault.target} for fault in self.done)

    def _carry_out(self, fault: Fault) -> None:
        if self._called_off.wait(max(0.0, self.started_at + fault.at_s - time.monotonic())):
            return
        self.write(str(fault))
        self.done.append(fault)
        try:
            self._do(fault)
        except Exception as error:  # noqa: BLE001 - whatever it is, the round must end and say so
            self.errors.append(f"{fault}: {error!r}")

    def _do(self, fault: Fault) -> None:
        if fault.target in self.rig.jobs and fault.kind in _TO_JOBS:
            _TO_JOBS[fault.kind](self, fault, self.rig.clone_of(fault.target))
        elif fault.kind in _TO_COORDINATOR:
            _TO_COORDINATOR[fault.kind](self, fault)
        else:
            self._to_network(fault)

    # ------------------------------------------------------------------------------------------------- jobs
    def _kill_job(self, _fault: Fault, clone: Clone) -> None:
        kill_all_of(clone)

    def _kill_main(self, fault: Fault, clone: Clone) -> None:
        self.rig.main.kill()
        if fault.amount:
            kill_all_of(clone)

    def _stop_job(self, fault: Fault, _clone: Clone) -> None:
        self.rig.jobs[fault.target].kill(signal.SIGTERM)

    def _freeze_job(self, fault: Fault, clone: Clone) -> None:
        _signal_all(clone, signal.SIGSTOP)
        time.sleep(fault.for_s)
        _signal_all(clone, signal.SIGCONT)

    def _kill_executor(self, _fault: Fault, clone: Clone) -> None:
        for pid, command in processes_of(clone).items():
            if command.endswith("/executor.js"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    # ------------------------------------------------------------------------------------------ coordinator
    def _kill_coordinator(self, fault: Fault) -> None:
        self.rig.coordinator.kill()
        time.sleep(fault.for_s)
        self.rig.coordinator.ensure_started()

    def _restart_coordinator(self, fault: Fault) -> None:
        self.rig.coordinator.stop()
        time.sleep(fault.for_s)
        self.rig.coordinator.ensure_started()

    def _lose_coordinator(self, _fault: Fault) -> None:
        self.rig.coordinator.kill()

    def _freeze_coordinator(self, fault: Fault) -> None:
        with self.rig.coordinator.running() as pid:
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(fault.for_s)
            finally:
                os.kill(pid, signal.SIGCONT)

    def _fill_disk(self, fault: Fault) -> None:
        disk = self.rig.disk
        assert disk is not None, "the schedule is drawn without full disks where there can be none"
        deadline = time.monotonic() + fault.for_s
        while time.monotonic() < deadline:
            disk.fill()  # again and again: what the coordinator frees is not for it
            time.sleep(0.2)
        disk.free()

    def _step_clock(self, fault: Fault) -> None:
        assert self.rig.clock is not None, "the schedule is drawn without steps where there can be none"
        self.rig.clock.step(fault.amount)

    # ---------------------------------------------------------------------------------------------- network
    def _to_network(self, fault: Fault) -> None:
        proxies = self.rig.proxies_of(fault.target)
        for proxy in proxies:
            _begin(proxy, fault)
        time.sleep(fault.for_s)
        for proxy in proxies:
            _end(proxy, fault)


def _begin(proxy: TcpProxy, fault: Fault) -> None:
    match fault.kind:
        case FaultKind.CUT_ANSWERS:
            proxy.cut_answers(int(fault.amount))
        case FaultKind.STALL:
            proxy.is_stalled = True
        case FaultKind.DELAY:
            proxy.delay_s = fault.amount
        case FaultKind.REFUSE:
            proxy.is_refusing = True
            proxy.cut()
        case _:
            proxy.cut()


def _end(proxy: TcpProxy, fault: Fault) -> None:
    match fault.kind:
        case FaultKind.STALL:
            proxy.is_stalled = False
        case FaultKind.DELAY:
            proxy.delay_s = 0.0
        case FaultKind.REFUSE:
            proxy.is_refusing = False
        case _:
            pass  # it was over at once


_TO_JOBS: dict[FaultKind, Callable[[Injector, Fault, Clone], None]] = {
    FaultKind.KILL_AGENT: Injector._kill_job,
    FaultKind.STOP_AGENT: Injector._stop_job,
    FaultKind.FREEZE_AGENT: Injector._freeze_job,
    FaultKind.KILL_EXECUTOR: Injector._kill_executor,
    FaultKind.FREEZE_MAIN: Injector._freeze_job,
    FaultKind.KILL_MAIN: Injector._kill_main,
}
_TO_COORDINATOR: dict[FaultKind, Callable[[Injector, Fault], None]] = {
    FaultKind.KILL_COORDINATOR: Injector._kill_coordinator,
    FaultKind.RESTART_COORDINATOR: Injector._restart_coordinator,
    FaultKind.LOSE_COORDINATOR: Injector._lose_coordinator,
    FaultKind.FREEZE_COORDINATOR: Injector._freeze_coordinator,
    FaultKind.FILL_DISK: Injector._fill_disk,
    FaultKind.STEP_CLOCK: Injector._step_clock,
}


def _signal_all(clone: Clone, number: signal.Signals) -> None:
    """Every process of a job, those too that are started while we go through them."""
    signalled: set[int] = set()
    for _ in range(_ROUNDS_OF_SIGNALS):
        fresh = set(processes_of(clone)) - signalled
        if not fresh:
            return
        for pid in fresh:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        signalled |= fresh
