"""One GitLab pipeline: jobs with clones of their own, the same CI variables, and different job ids."""

from __future__ import annotations

import itertools
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from nx_dte.demo import recipe
from nx_dte.demo.jobs import Job, JobSpec, base_environment, gitlab_variables, start_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from nx_dte.demo.jobs import LogLine
    from nx_dte.demo.layout import Layout
    from nx_dte.demo.workspace import Clone, Origin

__all__ = ["Pipeline"]

GOODBYE_S = 8.0


@dataclass(slots=True, kw_only=True)
class Pipeline:
    """Prepares and starts jobs, and remembers them so that none outlives it. A context manager."""

    layout: Layout
    origin: Origin
    folder: Path
    pipeline_id: int
    variables: Mapping[str, str] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    _job_ids: Iterator[int] | None = None

    def prepare(
        self,
        name: str,
        script: Sequence[str],
        *,
        own: Mapping[str, str] | None = None,
        clone: Clone | None = None,
    ) -> JobSpec:
        """A job ready to start, in a fresh clone unless it is given one; `own` variables win over the pipeline's."""
        if self._job_ids is None:
            self._job_ids = itertools.count(self.pipeline_id * 100 + 1)
        if clone is None:
            folder = self.folder / name
            folder.mkdir(parents=True)
            clone = self.origin.clone(folder)
        ci = gitlab_variables(
            clone,
            base=self.origin.base,
            pipeline_id=self.pipeline_id,
            job_id=next(self._job_ids),
            job_name=name,
        )
        environment = {**base_environment(self.layout, clone), **ci, **self.variables, **(own or {})}
        return JobSpec(name=name, script=script, clone=clone, environment=environment)

    def prepare_agents(self, count: int, *, own: Mapping[str, str] | None = None) -> list[JobSpec]:
        """The recipe's agent jobs, named as in the recipe."""
        names = [f"nx-dte-agent{number}" for number in range(1, count + 1)]
        return [self.prepare(name, recipe.AGENT_SCRIPT, own=own) for name in names]

    def start(self, spec: JobSpec, *, on_line: Callable[[LogLine], None] | None = None) -> Job:
        """Start a prepared job."""
        job = start_job(spec, on_line=on_line)
        self.jobs.append(job)
        return job

    def __enter__(self) -> Self:
        """Nothing to do: jobs are started one by one."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End whatever still runs."""
        self.close()

    def close(self) -> None:
        """End whatever still runs: asked first, so that agents can say goodbye and clear up."""
        running = [job for job in self.jobs if job.is_running]
        for job in running:
            job.kill(signal.SIGTERM)
        deadline = time.monotonic() + GOODBYE_S
        while any(job.is_running for job in running) and time.monotonic() < deadline:
            time.sleep(0.05)
        for job in running:
            if job.is_running:
                job.kill()
