"""GitLab as a job sees it: the variables it is given, the API it may ask, and the sections of its log.

`CiEnvironment` is read once, from a mapping, and then passed on as a value. `GitLabApi` reads; it never changes
anything on GitLab and is never called with an empty token. This package may import `transport` and `errors`; it knows
nothing of the coordinator.
"""

from nx_dte.gitlab import sections
from nx_dte.gitlab.api import GitLabApi, GitLabUnavailableError, OwnJob, PipelineJob
from nx_dte.gitlab.environment import CiEnvironment, MergeRequest

__all__ = [
    "CiEnvironment",
    "GitLabApi",
    "GitLabUnavailableError",
    "MergeRequest",
    "OwnJob",
    "PipelineJob",
    "sections",
]
