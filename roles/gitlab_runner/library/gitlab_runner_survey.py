#!/usr/bin/python
"""What GitLab knows of a host's pools, and which of the tokens at hand it accepts. Reads only, and returns no token."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.gitlab_runner_api import CONNECTION, Api, GitLabError, api_of

DOCUMENTATION = r"""
module: gitlab_runner_survey
short_description: What GitLab knows of a host's pools
description:
  - For each pool finds its runner by an accepted token, by the id that the host has stored, or by its description.
  - Says what differs from the pool's settings, and which of the candidates is the runner's token. Returns no token.
  - Asking whether a token is good makes the host known to GitLab as a manager, as the runner's own start does.
options:
  api_url: {type: str, required: true, description: GitLab's address.}
  api_token: {type: str, default: '', description: "Token of the API; without one only the candidates are tried."}
  ca_path: {type: str, default: '', description: PEM file with the CA of GitLab's certificate.}
  timeout: {type: int, default: 15, description: Seconds for one answer.}
  deadline: {type: int, default: 60, description: Seconds for a busy GitLab.}
  scope: {type: dict, default: {type: instance}, description: Where runners are created.}
  system_id: {type: str, default: '', description: The host's .runner_system_id.}
  pools:
    type: list
    elements: dict
    required: true
    description: The pools, each with settings, what the host has stored (without tokens) and candidates.
author: The nx-dte authors
"""
RETURN = r"""
pools:
  type: list
  returned: success
  description: >-
    For each pool {pool, state, id, accepted, rename, differences, online_elsewhere, stale, notes}. `state` is good (known, and one
    of the candidates is its token), lost (known, no candidate is) or missing. `accepted` is the index of the good candidate, or -1.
"""

_COMPARED = ("run_untagged", "locked", "paused", "access_level", "maximum_timeout")


class Survey:
    """The questions about one host's pools."""

    def __init__(self, api: Api, scope: dict[str, Any], system_id: str, *, has_api: bool) -> None:
        self._api = api
        self._scope = scope
        self._system_id = system_id
        self._has_api = has_api

    def pool(self, pool: dict[str, Any]) -> dict[str, Any]:
        """What is known of one pool's runner.

        Raises:
            GitLabError: there is no telling which runner is meant, or it is not this scope's.
        """
        # A host whose pool has become shared still has a runner of its own: the shared one is known by its description alone.
        common = self._by_description(pool) if pool["shared"] and self._has_api else None
        accepted, token_id, expires = self._accepted(pool, common["id"] if common else 0)
        found: dict[str, Any] = {
            "pool": pool["name"], "state": "missing", "id": 0, "accepted": accepted, "token_expires_at": expires, "rename": False,
            "differences": [], "online_elsewhere": [], "stale": [], "notes": [],
        }  # fmt: skip
        if not self._has_api:
            if accepted < 0:
                raise GitLabError(_refused(self._api, pool))
            return {**found, "state": "good", "id": token_id}
        runner = self._in_scope(common, pool) if common else self._runner(pool, token_id, found["notes"])
        if runner is None:
            return {**found, "accepted": -1}
        is_token_its = accepted >= 0 and token_id == runner["id"]
        found.update(
            state="good" if is_token_its else "lost",
            id=runner["id"],
            accepted=accepted if is_token_its else -1,
            rename=runner["description"] != pool["description"],
            differences=differences(runner, pool),
        )
        if found["rename"] or found["differences"]:
            self._insist_on_one(pool, runner)
        others = [row for row in self._api.managers(runner["id"]) if row["system_id"] != self._system_id]
        found["online_elsewhere"] = [row["system_id"] for row in others if row.get("status") == "online"]
        found["stale"] = [row["system_id"] for row in others if row.get("status") == "stale"]
        return found

    # ------------------------------------------------------------------------------------------------- inside
    def _accepted(self, pool: dict[str, Any], runner_id: int) -> tuple[int, int, str | None]:
        """Index of the candidate that GitLab accepts, of a certain runner if one is given; its runner, and until when it is good."""
        for index, candidate in enumerate(pool["candidates"]):
            body = {"token": candidate}
            if self._system_id:
                body["system_id"] = self._system_id
            # Without the API token: this is the runner's own call.
            answer = Api(
                self._api.url,
                ca_path=self._api.ca_path,
                timeout=self._api.timeout,
                deadline=self._api.deadline,
            ).call("POST", "/runners/verify", body)
            if answer.is_success and isinstance(answer.body, dict) and answer.body.get("id"):
                token_id = int(answer.body["id"])
                if runner_id in {0, token_id}:
                    return index, token_id, answer.body.get("token_expires_at")
                continue
            if answer.status not in {400, 401, 403, 404, 422}:
                raise GitLabError(
                    f"GitLab at {self._api.url} answered {answer.message} when asked about the token of pool {pool['name']}."
                )
        return -1, 0, None

    def _runner(self, pool: dict[str, Any], token_id: int, notes: list[str]) -> dict[str, Any] | None:
        """The pool's runner in full: that of the token, else that of the stored id, else that of the description."""
        stored = pool.get("stored") or {}
        stored_id = int(stored.get("id") or 0)
        if token_id:
            return self._in_scope(self._details(token_id), pool)
        if stored_id:
            runner = self._details(stored_id)
            # Without its token an id proves little: another GitLab may have given it to somebody else's runner.
            if runner is not None and runner["description"] in {
                pool["description"],
                stored.get("description"),
            }:
                return self._in_scope(runner, pool)
            notes.append(
                f"GitLab no longer knows runner {stored_id} of pool {pool['name']}"
                if runner is None
                else f"runner {stored_id}, which this host has stored for pool {pool['name']}, is somebody else's now"
            )
        return self._in_scope(self._by_description(pool), pool)

    def _details(self, runner_id: int) -> dict[str, Any] | None:
        answer = self._api.call("GET", f"/runners/{runner_id}")
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if not answer.is_success:
            raise GitLabError(
                f"GitLab at {self._api.url} does not show runner {runner_id} to the API token ({answer.message}). The token's user must be "
                "allowed to manage it: an administrator, an Owner of its group or a Maintainer of its project."
            )
        runner: dict[str, Any] = answer.body
        return runner

    def _by_description(self, pool: dict[str, Any]) -> dict[str, Any] | None:
        rows = self._api.named(self._scope, pool["description"])
        if len(rows) > 1:
            raise GitLabError(_several(pool["description"], rows))
        return self._details(rows[0]["id"]) if rows else None

    def _insist_on_one(self, pool: dict[str, Any], runner: dict[str, Any]) -> None:
        """What is changed is found by its description: it must not be another's."""
        others = [
            row for row in self._api.named(self._scope, pool["description"]) if row["id"] != runner["id"]
        ]
        if others:
            raise GitLabError(_several(pool["description"], [runner, *others]))

    def _in_scope(self, runner: dict[str, Any] | None, pool: dict[str, Any]) -> dict[str, Any] | None:
        kind = self._scope["type"]
        if runner is None:
            return None
        has_place = True
        if kind != "instance":
            places = runner.get(f"{kind}s")
            has_place = not places or any(int(place["id"]) == int(self._scope["id"]) for place in places)
        if runner.get("runner_type") == f"{kind}_type" and has_place:
            return runner
        wanted = kind if kind == "instance" else f"{kind} {self._scope['id']}"
        raise GitLabError(
            f"Runner {runner['id']} ({runner['description']}) is a runner of another place ({runner.get('runner_type')}) than "
            f"gitlab_runner_scope says ({wanted}), and runners do not move. Set the scope back, or decommission this host first, or give "
            f"pool {pool['name']} another `description`."
        )


def differences(runner: dict[str, Any], pool: dict[str, Any]) -> list[str]:
    """What is not as the pool wants it, in words."""
    found = []
    if sorted(runner.get("tag_list") or ()) != sorted(pool["tags"]):
        found.append(
            f"tags: {', '.join(runner.get('tag_list') or ()) or 'none'} -> {', '.join(pool['tags']) or 'none'}"
        )
    found += [f"{key}: {runner.get(key)} -> {pool[key]}" for key in _COMPARED if runner.get(key) != pool[key]]
    return found


def _several(description: str, rows: list[dict[str, Any]]) -> str:
    ids = ", ".join(str(number) for number in sorted(int(row["id"]) for row in rows))
    return (
        f"GitLab has several runners with the description {description!r}: {ids}. The description is a pool's key: delete or rename the ones "
        "that are not this pool's, or give the pool another `description`."
    )


def _refused(api: Api, pool: dict[str, Any]) -> str:
    return (
        f"GitLab at {api.url} does not accept the token of pool {pool['name']}. With gitlab_runner_registration false each pool brings its "
        "own `token`: take it (glrt-…) from the page where the runner was created, or reset it there."
    )


def main() -> None:
    """Run as a module."""
    pool = {
        "name": {"type": "str", "required": True},
        "description": {"type": "str", "required": True},
        "shared": {"type": "bool", "required": True},
        "tags": {"type": "list", "elements": "str", "required": True},
        "run_untagged": {"type": "bool", "required": True},
        "locked": {"type": "bool", "required": True},
        "paused": {"type": "bool", "required": True},
        "access_level": {"type": "str", "required": True},
        "maximum_timeout": {"type": "int", "required": True},
        "stored": {"type": "dict", "default": {}},
        "candidates": {"type": "list", "elements": "str", "default": [], "no_log": True},
    }
    arguments = {
        **CONNECTION,
        "system_id": {"type": "str", "default": ""},
        "pools": {"type": "list", "elements": "dict", "required": True, "options": pool},
    }
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    values = module.params
    survey = Survey(api_of(values), values["scope"], values["system_id"], has_api=bool(values["api_token"]))
    try:
        found = [survey.pool(entry) for entry in values["pools"]]
    except GitLabError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, pools=found)


if __name__ == "__main__":
    main()
