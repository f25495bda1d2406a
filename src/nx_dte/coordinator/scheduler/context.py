"""What every decision is given besides its slice and its event."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from nx_dte.model.ids import IdFactory


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times and counts; the defaults are those of `docs/protocol.md` §6."""

    lease_s: float = 30.0
    heartbeat_s: float = 5.0
    main_silence_s: float = 45.0
    explicit_completion_s: float = 3600.0
    max_lost_attempts: int = 3
    max_attempts: int = 10
    """All attempts of a task, also those that were given back: the end of every loop."""
    slow_task_factor: float = 3.0
    slow_task_extra_s: float = 60.0
    """A task is slow when it runs this many times as long as expected, and this many seconds longer."""
    slow_task_unknown_s: float = 300.0
    """The same for a task that nobody has run before."""

    @property
    def lease(self) -> timedelta:
        """How long a lease, and the silence of an agent, may last."""
        return timedelta(seconds=self.lease_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Read once per event: the same slice, event and context give the same decision."""

    now: datetime
    """Aware, in UTC."""
    new_id: IdFactory
    limits: Limits = field(default_factory=Limits)
