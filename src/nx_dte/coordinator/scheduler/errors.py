"""Why the scheduler refuses an event. `code` is the wire's error code."""

from collections.abc import Iterable
from typing import ClassVar

from nx_dte.errors import NxDteError
from nx_dte.model.access import TokenAccess
from nx_dte.model.run import CiRun


class SchedulerError(NxDteError):
    """The event cannot be decided on."""

    next_step: ClassVar[str] = "Please report this as a fault of nx-dte."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message)


class InvalidTransitionError(SchedulerError):
    """A transition that no rule allows; carries what led to it."""

    code = "invalid_transition"

    def __init__(self, message: str, *, story: Iterable[str] = ()) -> None:
        self.story = tuple(story)
        super().__init__("\n  ".join((message, *self.story)))


class CiRunClosedError(SchedulerError):
    """The CI run takes no more of this."""

    code = "ci_run_closed"
    next_step = "Run the command without distribution, or start a new pipeline (or retry the main job)."


class TokenAccessDiffersError(SchedulerError):
    """The CI run was opened with the other kind of token, so this request may not change it."""

    code = "token_access_differs"
    next_step = "Give the main job and the agents of a pipeline the same token."

    def __init__(self, run: CiRun, access: TokenAccess) -> None:
        super().__init__(
            f"CI run {run.ci_run_id} (CI id {run.ci_id}) was opened with a {run.token_access.value} token, "
            f"and this token is {access.value}: it may look at the run, not change it."
        )


class InvalidSubmissionError(SchedulerError):
    """The submitted tasks contradict themselves."""

    code = "invalid_submission"
    next_step = "The light client sent this; update it and the coordinator to the same version."


class DuplicateTaskError(InvalidSubmissionError):
    """A task was submitted twice in one invocation."""

    code = "duplicate_task"


class UnknownDependencyError(InvalidSubmissionError):
    """A task depends on one that was not submitted."""

    code = "unknown_dependency"


class DependencyCycleError(InvalidSubmissionError):
    """Tasks depend on each other in a circle."""

    code = "dependency_cycle"
    next_step = "Remove the cycle from the project's `dependsOn`."


class UnfoundedHitError(InvalidSubmissionError):
    """A cache hit depends on a task that is no hit."""

    code = "unfounded_hit"


class HitArtifactMissingError(InvalidSubmissionError):
    """A cache hit names an artifact the coordinator does not have."""

    code = "hit_artifact_missing"
    next_step = "Upload the artifact first, then submit again."
