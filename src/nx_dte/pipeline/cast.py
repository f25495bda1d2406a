"""The jobs of a file by their parts: who is main, who are agents, who is the guard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nx_dte.pipeline.ci_job import JobRole

if TYPE_CHECKING:
    from nx_dte.pipeline.ci_file import CiFile
    from nx_dte.pipeline.ci_job import CiJob

__all__ = ["Cast", "Slots"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """Jobs that runners take at once. None: not known."""

    main: int | None = None
    agent: int | None = None
    shared: int | None = None
    """For both together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """What the checks look at."""

    file: CiFile
    slots: Slots
    mains: tuple[CiJob, ...]
    agents: tuple[CiJob, ...]
    guards: tuple[CiJob, ...]

    @classmethod
    def of(cls, file: CiFile, slots: Slots) -> Cast:
        """Sort a file's jobs."""
        by_role = {role: tuple(job for job in file.jobs if job.role is role) for role in JobRole}
        return cls(
            file=file,
            slots=slots,
            mains=by_role[JobRole.MAIN],
            agents=by_role[JobRole.AGENT],
            guards=by_role[JobRole.GUARD],
        )

    @property
    def agent_count(self) -> int | None:
        """Agents of one pipeline; None where the file leaves it open."""
        copies = [job.copies for job in self.agents]
        return None if None in copies else sum(count for count in copies if count is not None)

    def waits_for(self, job: CiJob, other: CiJob) -> bool:
        """Whether `job` can start only after `other` has ended."""
        if job.needs is None:
            stages = self.file.stages
            known = job.stage in stages and other.stage in stages
            return known and stages.index(other.stage) < stages.index(job.stage)
        jobs = {each.name: each for each in self.file.jobs}
        seen: set[str] = set()
        to_look_at = list(job.needs)
        while to_look_at:
            name = to_look_at.pop()
            if name == other.name:
                return True
            if name in jobs and name not in seen:
                seen.add(name)
                to_look_at += jobs[name].needs or ()
        return False
