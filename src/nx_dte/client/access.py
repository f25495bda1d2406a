"""Before a job begins: is there a coordinator for it, and does it take this job's token?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nx_dte.client.coordinator import Presence, Probe
from nx_dte.errors import ConfigurationError, CoordinatorUnreachableError

if TYPE_CHECKING:
    from nx_dte.client.coordinator import CoordinatorClient

__all__ = ["find_coordinator"]


def find_coordinator(client: CoordinatorClient, *, patience_s: float) -> Probe:
    """Who answers; one that is away is asked again for `patience_s`.

    Where it is a coordinator of ours that is ready, it also takes this job's token, and the job can name its CI run.

    Raises:
        ConfigurationError: there is no address, no token, or no id for the CI run.
        CoordinatorRefusedError: it does not take the token, or this version of nx-dte.
    """
    probe = client.probe_for(patience_s)
    if probe.presence is Presence.NOT_CONFIGURED:
        raise ConfigurationError(
            f"{probe.message}. Set it to the coordinator's address (NX_NO_CLOUD=true goes without a coordinator)"
        )
    if probe.presence is not Presence.READY:
        return probe
    if client.cloud.token is None:
        raise ConfigurationError(
            "NX_CLOUD_ACCESS_TOKEN is not set, so the coordinator will refuse this job. Make it a CI/CD variable of the "
            "project"
        )
    if not client.cloud.is_token_fit:
        raise ConfigurationError(
            "NX_CLOUD_ACCESS_TOKEN holds a line break or another character that no token has, so it cannot be sent. Set the "
            "CI/CD variable again, to the token alone"
        )
    if client.cloud.ci_id is None:
        raise ConfigurationError(
            "nothing tells this CI run from others. On GitLab CI_PIPELINE_ID does; elsewhere set NX_CI_EXECUTION_ID, "
            "the same for main and agents"
        )
    try:
        client.newest_run()
    except CoordinatorUnreachableError as error:
        return Probe(presence=Presence.UNREACHABLE, message=error.message)
    return probe
