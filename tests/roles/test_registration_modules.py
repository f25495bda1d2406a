"""The role's modules against a stand-in GitLab: access, survey, farewell; and a GitLab that is away, busy or somebody else."""

from __future__ import annotations

import socket
import ssl
import urllib.error
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gitlab.server import StandIn
from tests.support.role_code import code_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_httpserver import HTTPServer

INSTANCE = {"type": "instance"}


# Ansible puts what the modules share there.
API = code_of(
    "gitlab_runner/module_utils/gitlab_runner_api.py", name="ansible.module_utils.gitlab_runner_api"
)
ACCESS, SURVEY, LEAVE = (
    code_of(f"gitlab_runner/library/gitlab_runner_{name}.py") for name in ("access", "survey", "leave")
)


@pytest.fixture
def gitlab(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path / "repositories") as stand_in:
        stand_in.call("POST", "/projects", path="acme/shop")
        yield stand_in


def _api(gitlab: StandIn, token: str | None = None) -> Any:
    return API.Api(gitlab.url, gitlab.token if token is None else token, pause=lambda _: None)


# --------------------------------------------------------------------------------------------- access
def test_a_token_that_may_do_all_is_good(gitlab: StandIn) -> None:
    found = ACCESS.access(_api(gitlab), INSTANCE)
    assert found["scopes"] == ["api"]
    narrow = gitlab.instance.add_token(gitlab.user, "create_runner", "manage_runner", "read_api").token
    assert ACCESS.access(_api(gitlab, narrow), INSTANCE)["version"]


@pytest.mark.parametrize(
    ("scopes", "said"),
    [
        (("read_api",), "It lacks create_runner, manage_runner: create a token"),
        (("create_runner", "read_api"), "It lacks manage_runner"),
        (("create_runner", "manage_runner"), "It lacks read_api"),
    ],
)
def test_a_token_with_too_few_scopes_is_told_which(
    gitlab: StandIn, scopes: tuple[str, ...], said: str
) -> None:
    token = gitlab.instance.add_token(gitlab.user, *scopes).token
    with pytest.raises(API.GitLabError, match=said) as caught:
        ACCESS.access(_api(gitlab, token), INSTANCE)
    assert token not in str(caught.value)


def test_a_wrong_token_is_told(gitlab: StandIn) -> None:
    with pytest.raises(API.GitLabError, match=r"does not accept the API token.*gitlab_runner_api_token"):
        ACCESS.access(_api(gitlab, "glpat-wrong"), INSTANCE)


def test_a_group_that_the_token_does_not_see_is_told(gitlab: StandIn) -> None:
    with pytest.raises(API.GitLabError, match="does not show the runners of group 999"):
        ACCESS.access(_api(gitlab), {"type": "group", "id": 999})


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            socket.gaierror(-2, "Name or service not known"),
            "The name gitlab.example.org of GitLab does not resolve",
        ),
        (ConnectionRefusedError(111, "Connection refused"), "cannot be reached from the controller"),
        (ssl.SSLCertVerificationError("self-signed"), "name the file in gitlab_runner_api_ca_file"),
    ],
)
def test_a_gitlab_that_is_away_is_told_by_the_reason(
    monkeypatch: pytest.MonkeyPatch, reason: OSError, said: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise urllib.error.URLError(reason)

    monkeypatch.setattr(API, "open_url", fail)
    with pytest.raises(API.GitLabError, match=said):
        ACCESS.access(API.Api("https://gitlab.example.org", "x", pause=lambda _: None), INSTANCE)


def test_somebody_elses_server_and_a_redirect_are_told(httpserver: HTTPServer) -> None:
    httpserver.expect_ordered_request("/api/v4/personal_access_tokens/self").respond_with_data("<html>", 404)
    url = httpserver.url_for("").rstrip("/")
    with pytest.raises(API.GitLabError, match="is not GitLab's API"):
        ACCESS.access(API.Api(url, "x"), INSTANCE)
    moved = {"Location": "https://new.example.org/api/v4/x"}
    httpserver.expect_ordered_request("/api/v4/personal_access_tokens/self").respond_with_data("", 301, moved)
    with pytest.raises(
        API.GitLabError, match=r"sends its callers to https://new.example.org\. Put the final address"
    ):
        ACCESS.access(API.Api(url, "x"), INSTANCE)


def test_an_old_gitlab_is_told(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/api/v4/personal_access_tokens/self").respond_with_json({"scopes": ["api"]})
    httpserver.expect_request("/api/v4/version").respond_with_json({"version": "15.11.2-ee"})
    with pytest.raises(API.GitLabError, match=r"is version 15.11.2-ee; its API makes runners from 16.0 on"):
        ACCESS.access(API.Api(httpserver.url_for(""), "x"), INSTANCE)


def test_a_busy_gitlab_is_asked_again_until_the_deadline(httpserver: HTTPServer) -> None:
    for status in (429, 503):
        httpserver.expect_ordered_request("/api/v4/version").respond_with_json(
            {}, status, {"Retry-After": "7"}
        )
    httpserver.expect_ordered_request("/api/v4/version").respond_with_json({"version": "18.0.0"})
    pauses: list[float] = []
    api = API.Api(httpserver.url_for(""), "x", pause=pauses.append)
    assert api.call("GET", "/version").body == {"version": "18.0.0"}
    assert pauses == [7.0, 7.0]
    httpserver.clear()
    httpserver.expect_request("/api/v4/version").respond_with_json({"message": "busy"}, 503)
    with pytest.raises(API.GitLabError, match=r"answered 503 busy to GET /version for 0 s. Run again"):
        API.Api(httpserver.url_for(""), "x", deadline=0).call("GET", "/version")


# --------------------------------------------------------------------------------------------- survey
def _pool(**values: Any) -> dict[str, Any]:
    settings = {
        "name": "main", "description": "one main", "tags": ["nx-main"], "shared": False, "run_untagged": False, "locked": False,
        "paused": False, "access_level": "not_protected", "maximum_timeout": 3600, "stored": {}, "candidates": [],
    }  # fmt: skip
    return {**settings, **values}


def _made(gitlab: StandIn, **values: Any) -> tuple[int, str]:
    wanted = {
        "description": "one main",
        "tag_list": ["nx-main"],
        "maximum_timeout": 3600,
        "run_untagged": False,
    }
    made = gitlab.call("POST", "/user/runners", runner_type="instance_type", **{**wanted, **values})
    return made["id"], made["token"]


def _survey(gitlab: StandIn, pool: dict[str, Any], scope: dict[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = SURVEY.Survey(_api(gitlab), scope or INSTANCE, "s_one", has_api=True).pool(pool)
    return found


def test_a_runner_that_is_as_wanted_needs_nothing(gitlab: StandIn) -> None:
    number, token = _made(gitlab)
    found = _survey(gitlab, _pool(candidates=["glrt-old", token]))
    assert (found["state"], found["id"], found["accepted"], found["differences"], found["rename"]) == (
        "good",
        number,
        1,
        [],
        False,
    )
    assert token not in str(found)


def test_a_new_pool_is_missing(gitlab: StandIn) -> None:
    assert _survey(gitlab, _pool())["state"] == "missing"


def test_a_runner_whose_token_nobody_has_is_lost_and_found_by_its_description(gitlab: StandIn) -> None:
    number, _ = _made(gitlab)
    found = _survey(gitlab, _pool(candidates=["glrt-wrong"]))
    assert (found["state"], found["id"], found["accepted"]) == ("lost", number, -1)


def test_a_runner_that_gitlab_no_longer_knows_is_missing_and_said(gitlab: StandIn) -> None:
    found = _survey(gitlab, _pool(stored={"id": 12345, "description": "one main"}, candidates=["glrt-gone"]))
    assert found["state"] == "missing"
    assert found["notes"] == ["GitLab no longer knows runner 12345 of pool main"]


def test_an_id_alone_does_not_make_somebody_elses_runner_ours(gitlab: StandIn) -> None:
    """Another GitLab, or one restored from a backup, gives the same numbers to others."""
    number, _ = _made(gitlab, description="theirs")
    found = _survey(gitlab, _pool(stored={"id": number, "description": "one main"}, candidates=["glrt-old"]))
    assert found["state"] == "missing"


def test_a_changed_description_renames_the_runner_that_is_there(gitlab: StandIn) -> None:
    number, token = _made(gitlab, description="old name")
    found = _survey(gitlab, _pool(candidates=[token]))
    assert (found["state"], found["id"], found["rename"]) == ("good", number, True)
    lost = _survey(gitlab, _pool(stored={"id": number, "description": "old name"}))
    assert (lost["state"], lost["id"], lost["rename"]) == ("lost", number, True)


def test_what_differs_is_said_in_words(gitlab: StandIn) -> None:
    number, token = _made(gitlab, tag_list=["x", "nx-main"], paused=True, maximum_timeout=600)
    assert _survey(gitlab, _pool(candidates=[token]))["differences"] == [
        "tags: x, nx-main -> nx-main",
        "paused: True -> False",
        "maximum_timeout: 600 -> 3600",
    ]
    assert number


def test_two_runners_of_one_description_are_refused_with_their_ids(gitlab: StandIn) -> None:
    first, _ = _made(gitlab)
    second, _ = _made(gitlab)
    with pytest.raises(
        API.GitLabError, match=rf"several runners with the description 'one main': {first}, {second}"
    ):
        _survey(gitlab, _pool())
    _, token = _made(gitlab, description="old name")
    with pytest.raises(API.GitLabError, match="several runners"):
        _survey(gitlab, _pool(candidates=[token]))


def test_a_runner_of_another_place_is_not_moved(gitlab: StandIn) -> None:
    _, token = _made(gitlab)
    group = gitlab.call("GET", "/groups/acme")["id"]
    with pytest.raises(
        API.GitLabError,
        match=rf"another place \(instance_type\) than gitlab_runner_scope says \(group {group}\)",
    ):
        _survey(gitlab, _pool(candidates=[token]), {"type": "group", "id": group})


def test_a_shared_runner_goes_before_the_hosts_own(gitlab: StandIn) -> None:
    _, own = _made(gitlab, description="one main")
    common, token = _made(gitlab, description="all")
    found = _survey(gitlab, _pool(description="all", shared=True, candidates=[own, token]))
    assert (found["state"], found["id"], found["accepted"]) == ("good", common, 1)


def test_a_token_from_the_vault_is_all_that_is_asked_for_without_the_api(gitlab: StandIn) -> None:
    number, token = _made(gitlab)
    survey = SURVEY.Survey(_api(gitlab, ""), INSTANCE, "s_one", has_api=False)
    assert survey.pool(_pool(candidates=[token]))["id"] == number
    with pytest.raises(API.GitLabError, match="does not accept the token of pool main"):
        survey.pool(_pool(candidates=["glrt-wrong"]))


# ------------------------------------------------------------------------------------------- farewell
def _manager(gitlab: StandIn, token: str, system_id: str) -> None:
    gitlab.call("POST", "/runners/verify", token=token, system_id=system_id)


def _leave(gitlab: StandIn, *, system_id: str = "s_one", is_dry: bool = False, **entry: Any) -> Any:
    leaving = LEAVE.Leaving(_api(gitlab), INSTANCE, system_id, has_api=True, is_dry=is_dry)
    wanted = {
        "pool": "main",
        "id": 0,
        "description": "one main",
        "shared": False,
        "vanished": False,
        "tokens": [],
    }
    leaving.leave({**wanted, **entry})
    return leaving


def test_the_last_host_takes_the_runner_with_it(gitlab: StandIn) -> None:
    number, token = _made(gitlab)
    _manager(gitlab, token, "s_one")
    assert _leave(gitlab, id=number, tokens=[token], is_dry=True).done
    assert gitlab.call("GET", f"/runners/{number}/managers")
    assert _leave(gitlab, id=number, tokens=["glrt-old", token]).done == [
        "manager s_one of pool main",
        f"runner {number} (one main)",
    ]
    assert _leave(gitlab, id=number, tokens=[token]).done == []


def test_a_shared_runner_stays_while_others_use_it(gitlab: StandIn) -> None:
    number, token = _made(gitlab)
    _manager(gitlab, token, "s_two")
    gitlab.instance.let_pass(timedelta(days=1))
    _manager(gitlab, token, "s_one")
    left = _leave(gitlab, id=number, tokens=[token], shared=True)
    assert left.done == ["manager s_one of pool main"]
    assert left.kept == [f"runner {number} (one main): s_two use it"]


def test_managers_that_nobody_has_heard_of_for_a_week_do_not_keep_it(gitlab: StandIn) -> None:
    number, token = _made(gitlab)
    _manager(gitlab, token, "s_gone")
    gitlab.instance.let_pass(timedelta(days=8))
    _manager(gitlab, token, "s_two")
    assert _survey(gitlab, _pool(candidates=[token]))["stale"] == ["s_gone"]
    left = _leave(gitlab, id=number, tokens=[token], shared=True)
    assert left.done == ["manager s_one of pool main", "manager s_gone of pool main"]


def test_a_host_that_has_lost_everything_is_found_by_description(gitlab: StandIn) -> None:
    number, token = _made(gitlab)
    _manager(gitlab, token, "s_one")
    assert _leave(gitlab, system_id="").done == [f"runner {number} (one main)"]


def test_runners_of_others_are_not_touched(gitlab: StandIn) -> None:
    number, token = _made(gitlab, description="theirs")
    left = _leave(gitlab, id=number, tokens=["glrt-old"])
    assert left.done == []
    assert left.kept == [f"runner {number} (theirs): it is not this host's"]
    # With its token it is ours, whatever somebody has called it.
    assert _leave(gitlab, id=number, tokens=[token]).done


def test_a_vanished_host_that_is_still_heard_of_keeps_its_runner(gitlab: StandIn) -> None:
    number, token = _made(gitlab)
    _manager(gitlab, token, "s_other")
    assert _leave(gitlab, system_id="", vanished=True).kept == [f"runner {number} (one main): s_other use it"]
    gitlab.instance.let_pass(timedelta(hours=3))
    assert _leave(gitlab, system_id="", vanished=True).done == [f"runner {number} (one main)"]
