#!/usr/bin/python
"""Whether GitLab can be reached and lets the token do what registration needs. Reads only."""

from __future__ import annotations

import sys
from http import HTTPStatus
from importlib.util import find_spec
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.gitlab_runner_api import CONNECTION, Answer, Api, GitLabError, api_of, runners_path

DOCUMENTATION = r"""
module: gitlab_runner_access
short_description: Whether GitLab can be reached and lets the token do what registration needs
description:
  - Asks for the token's scopes, GitLab's version and the place where runners are to be created. Changes nothing.
options:
  api_url: {type: str, required: true, description: GitLab's address.}
  api_token: {type: str, default: '', description: The token.}
  ca_path: {type: str, default: '', description: PEM file with the CA of GitLab's certificate.}
  timeout: {type: int, default: 15, description: Seconds for one answer.}
  deadline: {type: int, default: 60, description: Seconds for a busy GitLab.}
  scope: {type: dict, default: {type: instance}, description: Where runners are created.}
author: The nx-dte authors
"""
RETURN = r"""
version: {type: str, returned: success, description: GitLab's version.}
scopes: {type: list, returned: success, description: "The token's scopes; empty where GitLab does not tell."}
"""

_NEEDED = ("create_runner", "manage_runner", "read_api")
_OLDEST = (16, 0)
_WHERE = "The token stands in gitlab_runner_api_token, best from a vault (vault_gitlab_api_token in the example inventory)."


def access(api: Api, scope: dict[str, Any]) -> dict[str, Any]:
    """What GitLab says of the token and of itself.

    Raises:
        GitLabError: the role could not do its work; the text says what to do.
    """
    scopes = _scopes(api)
    return {"scopes": scopes, "version": _version(api), "scope": _place(api, scope)}


def _scopes(api: Api) -> list[str]:
    # Any scope may ask for its own token; GitLab before 15.5, and OAuth tokens, have no such answer.
    answer = api.call("GET", "/personal_access_tokens/self")
    if answer.status == HTTPStatus.NOT_FOUND and isinstance(answer.body, dict):
        answer = api.call("GET", "/user")
    _insist_on_gitlab(api, answer)
    if answer.status == HTTPStatus.UNAUTHORIZED:
        raise GitLabError(
            f"GitLab at {api.url} does not accept the API token ({answer.message}): it is wrong, expired or revoked. Create one with the "
            f"scopes {', '.join(_NEEDED)} (or api). {_WHERE}"
        )
    if answer.status == HTTPStatus.FORBIDDEN:
        raise GitLabError(_too_few(api, answer.message, list(_NEEDED)))
    if not answer.is_success:
        raise GitLabError(
            f"GitLab at {api.url} answered {answer.message} when it was asked about the API token. {_WHERE}"
        )
    scopes = [str(scope) for scope in answer.body.get("scopes", ())]
    missing = [scope for scope in _NEEDED if scope not in scopes]
    if scopes and "api" not in scopes and missing:
        raise GitLabError(_too_few(api, f"it has {', '.join(scopes)}", missing))
    return scopes


def _version(api: Api) -> str:
    answer = api.call("GET", "/version")
    if not answer.is_success:
        raise GitLabError(_too_few(api, f"GET /version: {answer.message}", ["read_api"]))
    version = str(answer.body.get("version", ""))
    numbers = tuple(int(part) for part in version.partition("-")[0].split(".")[:2] if part.isdigit())
    if numbers < _OLDEST:
        raise GitLabError(
            f"GitLab at {api.url} is version {version}; its API makes runners from 16.0 on. Take a newer GitLab, or make the "
            "runners yourself, set gitlab_runner_registration to false and give each pool its `token`."
        )
    return version


def _place(api: Api, scope: dict[str, Any]) -> str:
    """Whether runners may be listed where they are to be created."""
    answer = api.call("GET", f"{runners_path(scope)}?per_page=1")
    if answer.is_success:
        return str(scope["type"])
    if scope["type"] == "instance":
        raise GitLabError(
            f"GitLab at {api.url} does not show the instance's runners to this token ({answer.message}): it must be an administrator's. Use "
            "an administrator's token, or set gitlab_runner_scope to your group or project: {type: group, id: NUMBER}."
        )
    raise GitLabError(
        f"GitLab at {api.url} does not show the runners of {scope['type']} {scope['id']} to this token ({answer.message}). Check the number "
        f"in gitlab_runner_scope, and that the token's user or bot is an Owner of the group or a Maintainer of the project."
    )


def _insist_on_gitlab(api: Api, answer: Answer) -> None:
    if answer.is_redirect:
        target = answer.headers.get("location", "somewhere else").partition("/api/v4")[0]
        raise GitLabError(
            f"{api.url} sends its callers to {target}. Put the final address into gitlab_runner_gitlab_url: runners do not follow."
        )
    if not isinstance(answer.body, dict):
        raise GitLabError(
            f"What answers at {api.url} is not GitLab's API (status {answer.status}, no JSON). Check gitlab_runner_api_url: it is GitLab's "
            "address without /api/v4, with the path if GitLab has one of its own."
        )


def _too_few(api: Api, why: str, missing: list[str]) -> str:
    return (
        f"The API token may not do everything the role needs at {api.url} ({why}). It lacks {', '.join(missing)}: create a token with the "
        f"scopes {', '.join(_NEEDED)} (or api). {_WHERE}"
    )


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(argument_spec=CONNECTION, supports_check_mode=True)
    if find_spec("gitlab") is None:
        module.fail_json(
            msg=f"{sys.executable} on the controller has no python-gitlab, which creates the runners. Install it there: "
            f"{sys.executable} -m pip install python-gitlab"
        )
    try:
        found = access(api_of(module.params), module.params["scope"])
    except GitLabError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
