#!/usr/bin/python
"""Takes managers away from runners at GitLab, and a runner itself once no other host uses it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.gitlab_runner_api import CONNECTION, Api, GitLabError, api_of

DOCUMENTATION = r"""
module: gitlab_runner_leave
short_description: Takes managers away from runners at GitLab
description:
  - Unregisters this host's manager of each runner; deletes the runner when no other host uses it.
  - A runner that GitLab does not know, and a token that it does not accept, are no faults. Only runners that the host has a
    token for, or whose description is the pool's, are touched.
options:
  api_url: {type: str, required: true, description: GitLab's address.}
  api_token: {type: str, default: '', description: "Token of the API; without one runners themselves stay."}
  ca_path: {type: str, default: '', description: PEM file with the CA of GitLab's certificate.}
  timeout: {type: int, default: 15, description: Seconds for one answer.}
  deadline: {type: int, default: 60, description: Seconds for a busy GitLab.}
  scope: {type: dict, default: {type: instance}, description: Where the runners are.}
  system_id: {type: str, default: '', description: The host's .runner_system_id.}
  runners:
    type: list
    elements: dict
    required: true
    description: >-
      The runners: pool, id (0 if unknown), description, shared, tokens (candidates), and vanished for those of a host that nobody can ask.
  stale_only:
    type: bool
    default: false
    description: Remove managers that GitLab calls stale, and nothing else.
author: The nx-dte authors
"""
RETURN = r"""
done: {type: list, returned: success, description: What was removed.}
kept: {type: list, returned: success, description: What stays, and why.}
"""


class Leaving:
    """One host's farewell."""

    def __init__(
        self, api: Api, scope: dict[str, Any], system_id: str, *, has_api: bool, is_dry: bool
    ) -> None:
        self._api = api
        self._runner_api = Api(api.url, ca_path=api.ca_path, timeout=api.timeout, deadline=api.deadline)
        self._scope = scope
        self._system_id = system_id
        self._has_api = has_api
        self._is_dry = is_dry
        self.done: list[str] = []
        self.kept: list[str] = []

    def leave(self, entry: dict[str, Any]) -> None:
        """Remove this host's manager, and the runner if it was the last."""
        runner = self._runner(entry)
        if self._system_id:
            self._remove_manager(entry, self._system_id, runner)
        if runner is None or not self._has_api:
            return
        others = [row for row in self._api.managers(runner["id"]) if row["system_id"] != self._system_id]
        users = [
            row["system_id"] for row in others if _counts(row, entry, knows_itself=bool(self._system_id))
        ]
        if entry["vanished"] and not users and runner.get("status") == "online":
            users = ["a host without a system id"]
        if users:
            self.kept.append(f"runner {runner['id']} ({runner['description']}): {', '.join(users)} use it")
            self.remove_stale(entry, runner["id"])
        elif self._is_dry or self._deleted(runner):
            self.done.append(f"runner {runner['id']} ({runner['description']})")

    def remove_stale(self, entry: dict[str, Any], runner_id: int) -> None:
        """Managers of hosts that GitLab has not heard of for a week."""
        for row in self._api.managers(runner_id):
            if row.get("status") == "stale" and row["system_id"] != self._system_id:
                self._remove_manager(entry, row["system_id"], None)

    # ------------------------------------------------------------------------------------------------- inside
    def _runner(self, entry: dict[str, Any]) -> dict[str, Any] | None:
        """The entry's runner as GitLab has it; None for one that it does not know, or that is somebody else's."""
        if not self._has_api:
            return None
        runner_id = int(entry["id"] or 0)
        if not runner_id:
            rows = self._api.named(self._scope, entry["description"])
            if len(rows) > 1:
                self.kept.append(
                    f"{len(rows)} runners are described {entry['description']!r}: none of them was touched"
                )
            runner_id = rows[0]["id"] if len(rows) == 1 else 0
        if not runner_id:
            return None
        answer = self._api.call("GET", f"/runners/{runner_id}")
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if not answer.is_success:
            raise GitLabError(
                f"GitLab at {self._api.url} does not show runner {runner_id} to the API token ({answer.message}). Its user must be allowed to "
                "manage it: an administrator, an Owner of its group or a Maintainer of its project."
            )
        runner: dict[str, Any] = answer.body
        if runner.get("description") == entry["description"] or self._owns(entry, runner_id):
            return runner
        self.kept.append(f"runner {runner_id} ({runner.get('description')}): it is not this host's")
        return None

    def _owns(self, entry: dict[str, Any], runner_id: int) -> bool:
        """Whether one of the host's tokens is this runner's."""
        body = {"system_id": self._system_id} if self._system_id else {}
        answers = (
            self._runner_api.call("POST", "/runners/verify", {**body, "token": token})
            for token in entry["tokens"]
        )
        return any(answer.is_success and (answer.body or {}).get("id") == runner_id for answer in answers)

    def _remove_manager(self, entry: dict[str, Any], system_id: str, runner: dict[str, Any] | None) -> None:
        if self._is_dry:
            if runner and any(row["system_id"] == system_id for row in self._api.managers(runner["id"])):
                self.done.append(f"manager {system_id} of pool {entry['pool']}")
            return
        for token in entry["tokens"]:
            answer = self._runner_api.call(
                "DELETE", "/runners/managers", {"token": token, "system_id": system_id}
            )
            if answer.is_success:
                self.done.append(f"manager {system_id} of pool {entry['pool']}")
                return
            # 403: not this runner's token any more; 404: GitLab does not know the manager.
            if answer.status not in {400, 401, 403, 404, 422}:
                raise GitLabError(
                    f"GitLab at {self._api.url} answered {answer.message} when manager {system_id} was to be removed."
                )

    def _deleted(self, runner: dict[str, Any]) -> bool:
        answer = self._api.call("DELETE", f"/runners/{runner['id']}")
        if not answer.is_success and answer.status != HTTPStatus.NOT_FOUND:
            raise GitLabError(
                f"GitLab at {self._api.url} answered {answer.message} when runner {runner['id']} ({runner['description']}) was to be deleted. "
                "The API token needs the scope manage_runner."
            )
        return answer.is_success


def _counts(row: dict[str, Any], entry: dict[str, Any], *, knows_itself: bool) -> bool:
    """Whether another manager is reason enough to keep the runner.

    A shared pool's hosts may be down for a while. Other pools are one host's: what else is online uses a copied token; and a host that
    has lost its own id would take itself for another.
    """
    if entry["vanished"]:
        return row.get("status") == "online"
    if entry["shared"]:
        return row.get("status") != "stale"
    return knows_itself and row.get("status") == "online"


def main() -> None:
    """Run as a module."""
    runner = {
        "pool": {"type": "str", "required": True},
        "id": {"type": "int", "default": 0},
        "description": {"type": "str", "required": True},
        "shared": {"type": "bool", "default": False},
        "vanished": {"type": "bool", "default": False},
        "tokens": {"type": "list", "elements": "str", "default": [], "no_log": True},
    }
    arguments = {
        **CONNECTION,
        "system_id": {"type": "str", "default": ""},
        "stale_only": {"type": "bool", "default": False},
        "runners": {"type": "list", "elements": "dict", "required": True, "options": runner},
    }
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    values = module.params
    leaving = Leaving(
        api_of(values), values["scope"], values["system_id"], has_api=bool(values["api_token"]), is_dry=module.check_mode
    )  # fmt: skip
    try:
        for entry in values["runners"]:
            if values["stale_only"]:
                leaving.remove_stale(entry, entry["id"])
            else:
                leaving.leave(entry)
    except GitLabError as error:
        module.fail_json(msg=str(error), done=leaving.done)
    module.exit_json(changed=bool(leaving.done), done=leaving.done, kept=leaving.kept)


if __name__ == "__main__":
    main()
