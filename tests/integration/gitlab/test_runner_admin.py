"""Runners as a provisioning tool manages them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.gitlab.server import StandIn


def test_a_token_looks_real_and_differs_early(gitlab: StandIn) -> None:
    tokens = [gitlab.add_runner("a") for _ in range(20)]
    assert {len(token) for token in tokens} == {25}
    assert all(token.startswith("glrt-") for token in tokens)
    # The real runner names folders and volumes by nine characters.
    assert len({token[5:14] for token in tokens}) == 20
    assert len({token[5] for token in tokens}) > 1


def test_a_runner_is_made_shown_changed_and_removed(gitlab: StandIn) -> None:
    made = gitlab.call(
        "POST", "/user/runners", runner_type="instance_type", description="main 1", tag_list="nx-main, big",
        locked=True, maximum_timeout=3600,
    )  # fmt: skip
    shown = gitlab.call("GET", f"/runners/{made['id']}")
    assert "token" not in shown
    assert (shown["tag_list"], shown["run_untagged"], shown["paused"], shown["active"]) == (
        ["nx-main", "big"], False, False, True,
    )  # fmt: skip
    changed = gitlab.call("PUT", f"/runners/{made['id']}", tag_list=["nx-agent"], paused=True)
    assert (changed["tag_list"], changed["description"], changed["active"]) == (["nx-agent"], "main 1", False)
    assert gitlab.api.delete(f"/runners/{made['id']}").status_code == 204
    assert gitlab.api.get(f"/runners/{made['id']}").status_code == 404


def test_runners_are_listed_by_type_tags_and_state(gitlab: StandIn) -> None:
    project_id = gitlab.call("GET", "/projects/acme%2Fshop")["id"]
    group_id = gitlab.call("GET", "/groups/acme")["id"]
    gitlab.add_runner("a", description="everywhere")
    gitlab.add_runner("a", "b", description="group", runner_type="group_type", group_id=group_id)
    gitlab.add_runner(
        "b", description="project", runner_type="project_type", project_id=project_id, paused=True
    )

    def names(path: str) -> list[str]:
        return [runner["description"] for runner in gitlab.call("GET", path)]

    assert names("/runners/all") == ["project", "group", "everywhere"]
    assert names("/runners/all?type=group_type") == ["group"]
    assert names("/runners/all?tag_list=a,b") == ["group"]
    assert names("/runners/all?paused=true") == ["project"]
    assert names(f"/groups/{group_id}/runners") == ["group"]
    assert names(f"/projects/{project_id}/runners") == ["project", "group", "everywhere"]
    assert names("/runners/all?status=never_contacted") == ["project", "group", "everywhere"]


def test_what_gitlab_refuses_is_refused(gitlab: StandIn) -> None:
    def message(**values: object) -> str:
        response = gitlab.api.post("/user/runners", json={"runner_type": "instance_type", **values})
        assert response.status_code == 400
        text: str = response.json()["message"]
        return text

    assert "runner_type" in message(runner_type="cluster")
    assert "group_id is missing" in message(runner_type="group_type")
    assert "Tags list can not be empty" in message(run_untagged=False)
    assert "at least 10 minutes" in message(maximum_timeout=60)
    assert "access_level" in message(access_level="secret")


def test_a_reset_by_id_gives_a_lost_token_back(gitlab: StandIn) -> None:
    made = gitlab.call("POST", "/user/runners", runner_type="instance_type")
    new = gitlab.call("POST", f"/runners/{made['id']}/reset_authentication_token")["token"]
    assert new != made["token"]
    assert gitlab.call("POST", "/runners/verify", token=new)["id"] == made["id"]


def test_a_silent_host_is_online_then_offline_then_stale(gitlab: StandIn) -> None:
    made = gitlab.call("POST", "/user/runners", runner_type="instance_type")

    def status() -> tuple[str, list[str]]:
        managers = gitlab.call("GET", f"/runners/{made['id']}/managers")
        return gitlab.call("GET", f"/runners/{made['id']}")["status"], [row["status"] for row in managers]

    assert status() == ("never_contacted", [])
    gitlab.call("POST", "/runners/verify", token=made["token"], system_id="s_one")
    assert status() == ("online", ["online"])
    gitlab.instance.let_pass(timedelta(hours=3))
    assert status() == ("offline", ["offline"])
    gitlab.instance.let_pass(timedelta(days=7))
    assert status() == ("stale", ["stale"])


def test_a_token_may_ask_for_its_scopes(gitlab: StandIn) -> None:
    token = gitlab.call("POST", "/-/stand-in/tokens", scopes=["read_api"])["token"]
    answer = gitlab.api.get("/personal_access_tokens/self", headers={"PRIVATE-TOKEN": token})
    assert answer.json()["scopes"] == ["read_api"]
    assert gitlab.api.get("/personal_access_tokens/self", headers={"PRIVATE-TOKEN": "x"}).status_code == 401
