"""How the main job leaves its CI run: in order, or because it was cancelled."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nx_dte.client import Presence
from nx_dte.processes import end_marked, has_variable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nx_dte.client import CoordinatorClient
    from nx_dte.nx_commands import NxCheckout
    from nx_dte.orchestrator.running import StepRunner
    from nx_dte.orchestrator.telling import Failure, Teller

__all__ = ["Ending"]

COMPLETE_S = 60.0
CANCEL_S = 8.5
"""From the signal to the end of everything: a runner kills a cancelled job about 9 s after it was told."""
OPENING_S = 1.0
TELL_S = 2.5
TELL_AT_END_S = 5.0
TELL_FOREIGN_S = 4.0
TERM_S = 5.0
KILL_S = 1.0
PINGER = "NX_DTE_PINGER="


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The ways out."""

    client: CoordinatorClient
    checkout: NxCheckout
    runner: StepRunner
    env: Mapping[str, str]
    key: str
    """The mark of everything this job has started."""
    teller: Teller | None
    """None where the coordinator is not ours."""
    say: Callable[[str], None]

    def complete(self, failure: Failure | None) -> None:
        """`nx-cloud complete-ci-run`, after the first `failure` if there was one. That it fails is said, but changes nothing of what the commands came to.

        Raises:
            StoppedError: the job was told to stop meanwhile.
        """
        if self.teller is not None:
            with self.runner.stopping.interrupting():
                probe = self.client.probe()
            if probe.presence is not Presence.READY:
                # The command would only wait for it to come back.
                self.say(
                    f"WARNING: the CI run could not be ended: {probe.message}. Its agents leave by themselves, since they miss "
                    "the coordinator, or the coordinator misses this job"
                )
                return
            if failure is not None:
                with self.runner.stopping.interrupting():
                    self.teller.fail(failure, timeout_s=TELL_AT_END_S)
        words = self.checkout.nx_cloud("complete-ci-run")
        code = self.runner.run_for(words, env=self.env, timeout_s=COMPLETE_S)
        if code == 0:
            return
        how = f"did not end within {COMPLETE_S:g} s" if code is None else f"ended with exit code {code}"
        if self.teller is not None:
            with self.runner.stopping.interrupting():
                was_told = self.teller.complete("all commands have ended", timeout_s=TELL_AT_END_S)
            if was_told:
                self.say(f"complete-ci-run {how}; the coordinator was told directly")
                return
        self.say(f"WARNING: complete-ci-run {how}; agents leave when they or the coordinator miss this job")

    def cancel(self, failure: Failure, *, is_opening: bool) -> None:
        """Tell the coordinator, then end everything this job has started; within `CANCEL_S`. Heeds no further signal.

        A CI run that is just being opened could be opened after it was told of: so that command ends first.
        """
        began_at = time.monotonic()
        if is_opening:
            end_marked(self.key, grace_s=OPENING_S)
        if self.teller is not None:
            was_told = self.teller.leave(failure, failure.text, timeout_s=TELL_S)
        else:
            was_told = self._tell_foreign()
        left_s = CANCEL_S - KILL_S - (time.monotonic() - began_at)
        is_gone = end_marked(
            self.key,
            grace_s=max(0.0, min(TERM_S, left_s)),
            # Who could not be told now hears it from the pinger, as soon as that sees the job's shell end.
            is_spared=lambda pid: not was_told and has_variable(pid, PINGER),
        )
        told = "the coordinator knows" if was_told else "the coordinator could not be told"
        ended = (
            "everything this job had started has ended" if is_gone else "some processes could not be ended"
        )
        self.say(f"{told}; {ended}")

    def _tell_foreign(self) -> bool:
        """Nx Cloud is spoken to by its own command only."""
        words = self.checkout.nx_cloud("complete-ci-run")
        code = self.runner.run_for(words, env=self.env, timeout_s=TELL_FOREIGN_S, heeds_signals=False)
        return code == 0
