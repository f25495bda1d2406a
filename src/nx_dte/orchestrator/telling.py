"""What the main job tells a coordinator of ours directly: how it fared, and that it is going."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nx_dte.errors import NxDteError

if TYPE_CHECKING:
    from nx_dte.client import CoordinatorClient
    from nx_dte.protocol.runs import CiRunView

__all__ = ["Failure", "Teller"]

LEAST_S = 0.1
"""A call with less time than this is not worth beginning, so it gets this much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A step of the main job that failed."""

    code: int
    command: str
    """As the user wrote it."""
    text: str
    """A sentence for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """Tells; whoever could not be told is no error here, only false."""

    client: CoordinatorClient
    key: str
    """The job's own; makes what is told twice the same as once."""
    job_id: str | None

    def complete(self, reason: str, *, timeout_s: float) -> bool:
        """End the CI run: no command is to come."""
        deadline = time.monotonic() + timeout_s
        try:
            run = self._open_run(deadline)
            if run is not None:
                self.client.complete(run.ci_run_id, reason=reason, timeout_s=_left_s(deadline))
        except NxDteError:
            return False
        return True

    def leave(self, failure: Failure, reason: str, *, timeout_s: float) -> bool:
        """Leave the CI run in the middle: what runs of it is cancelled, unless another main job is in it, too."""
        deadline = time.monotonic() + timeout_s
        try:
            run = self._open_run(deadline)
            if run is None:
                return True
            self._add_failure(run, failure, deadline)
            if self.job_id is None:
                self.client.complete(run.ci_run_id, reason=reason, timeout_s=_left_s(deadline))
            else:
                self.client.main_left(
                    run.ci_run_id, job_id=self.job_id, reason=reason, timeout_s=_left_s(deadline)
                )
        except NxDteError:
            return False
        return True

    def fail(self, failure: Failure, *, timeout_s: float) -> None:
        """See that the CI run counts as failed: of a command that was not distributed nobody else tells it.

        Its agents then end as main does, and GitLab's Retry brings back both.
        """
        deadline = time.monotonic() + timeout_s
        with contextlib.suppress(NxDteError):
            run = self._open_run(deadline)
            if run is not None:
                self._add_failure(run, failure, deadline)

    def _open_run(self, deadline: float) -> CiRunView | None:
        run = self.client.newest_run(timeout_s=_left_s(deadline), attempts=2)
        return None if run is None or run.state.is_over else run

    def _add_failure(self, run: CiRunView, failure: Failure, deadline: float) -> None:
        if run.has_failed:
            return
        with contextlib.suppress(NxDteError):
            self.client.add_record(
                run.ci_run_id,
                key=self.key,
                command=failure.command,
                code=failure.code,
                at=datetime.now(UTC),
                timeout_s=_left_s(deadline),
            )


def _left_s(deadline: float) -> float:
    return max(LEAST_S, deadline - time.monotonic())
