"""What registration wants of each pool, what is wrong with it, and which token a host goes on with."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.support.role_code import code_of

PLANS = code_of("gitlab_runner/filter_plugins/gitlab_runner_registration.py")

URL = "https://gitlab.example.org"
MAIN: dict[str, Any] = {"name": "main", "tags": ["nx-main"], "limit": 1}


def _problems(pool: dict[str, Any], scope: dict[str, Any] | None = None, **values: Any) -> list[str]:
    registration = values.pop("registration", True)
    planned = PLANS.plan([pool], "host", registration=registration)
    found: list[str] = PLANS.plan_problems(
        planned, scope or {"type": "instance"}, url=values.get("url", URL), registration=registration
    )
    return found


def test_a_plan_has_every_default_and_no_secret() -> None:
    (pool,) = PLANS.plan([{**MAIN, "token": "glrt-secret"}], "host", registration=False)
    assert "glrt-secret" not in json.dumps(pool)
    assert (pool["description"], pool["access_level"], pool["maximum_timeout"]) == (
        "host main",
        "not_protected",
        3600,
    )
    assert not any(pool[key] for key in ("shared", "run_untagged", "locked", "paused"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tags": []}, "tags is empty"),
        ({"tags": ["a,b"]}, "a tag is a word without commas"),
        ({"access_level": "secret"}, "access_level 'secret'"),
        ({"maximum_timeout": 599}, "at least 600"),
        ({"maximum_timeout": "an hour"}, "at least 600"),
        ({"description": "x" * 256}, "256 characters; GitLab keeps 255"),
        ({"shared": True}, "needs a `description` of its own"),
        ({"token": "glrt-x"}, "remove it: the role keeps tokens itself"),
    ],
)
def test_what_gitlab_would_refuse_is_told_before(change: dict[str, Any], said: str) -> None:
    (problem,) = _problems({**MAIN, **change})
    assert problem.startswith("gitlab_runner_pools: pool 'main': ")
    assert said in problem


def test_a_pool_without_tags_may_take_untagged_jobs() -> None:
    assert _problems({**MAIN, "tags": [], "run_untagged": True}) == []


def test_without_registration_each_pool_brings_its_token() -> None:
    assert "needs its `token`" in _problems(MAIN, registration=False)[0]
    assert _problems({**MAIN, "token": "glrt-x"}, registration=False) == []


@pytest.mark.parametrize(
    ("scope", "good"),
    [
        ({"type": "instance"}, True),
        ({"type": "group", "id": 42}, True),
        ({"type": "group", "id": "42"}, True),
        ({"type": "group", "id": "shop"}, False),
        ({"type": "project"}, False),
        ({"type": "cluster"}, False),
    ],
)
def test_the_scope_is_a_number(scope: dict[str, Any], good: bool) -> None:  # noqa: FBT001
    assert (_problems(MAIN, scope) == []) is good


def test_an_address_without_a_scheme_is_told() -> None:
    assert "begins with https:// or http://" in _problems(MAIN, url="gitlab.example.org")[0]


def _line(**values: Any) -> str:
    return base64.b64encode(json.dumps({"url": URL, **values}).encode()).decode()


def test_token_files_that_say_nothing_good_count_as_lost() -> None:
    lines = [
        _line(pool="main", id=4, token="glrt-a", description="host main"),
        base64.b64encode(b"{not json").decode(),
        "not base64",
        _line(pool="other", id=6, token="glrt-c", url="https://another.example.org"),
        _line(pool="empty", id=7, token=""),
    ]
    found = PLANS.stored(lines, URL)
    assert list(found) == ["main"]
    assert PLANS.orphans(PLANS.plan([MAIN], "host"), found) == []
    assert PLANS.orphans([], found) == ["runner 4 (host main)"]


def test_what_the_runner_wrote_last_comes_first_and_other_hosts_are_asked_for_shared_pools_only() -> None:
    pools = PLANS.plan([MAIN, {**MAIN, "name": "agent", "shared": True, "description": "all"}], "host")
    own = {"main": {"pool": "main", "token": "glrt-old", "description": "host main"}}
    live = [{"pool": "main", "token": "glrt-rotated"}, {"pool": "foreign", "token": "glrt-f"}]
    others = [
        {"pool": "agent", "token": "glrt-theirs", "description": "all"},
        {"pool": "main", "token": "glrt-x", "description": "b main"},
    ]
    found = PLANS.candidates(pools, own, live, others)
    assert {pool: [entry["token"] for entry in entries] for pool, entries in found.items()} == {
        "main": ["glrt-rotated", "glrt-old"],
        "agent": ["glrt-theirs"],
    }


def _answer(**values: Any) -> dict[str, Any]:
    good = {
        "pool": "main", "state": "good", "id": 7, "accepted": 0, "token_expires_at": None, "rename": False, "differences": [],
        "online_elsewhere": [], "stale": [], "notes": [],
    }  # fmt: skip
    return {**good, **values}


def _work(answer: dict[str, Any], entry: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    pools = PLANS.plan([MAIN], "host")
    kept = PLANS.entry_of(pools[0], {"id": 7, "token": "glrt-a", **(entry or {})}, URL)
    entries = PLANS.known([answer], pools, {"main": [kept]}, URL)
    found: list[dict[str, Any]] = PLANS.work([answer], entries, {"main": kept})
    return found


def test_where_all_is_well_there_is_no_work() -> None:
    assert _work(_answer()) == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (_answer(state="missing", id=0, accepted=-1), "create the runner 'host main'"),
        (_answer(state="lost", accepted=-1), "reset the token of runner 7 (host main)"),
        (_answer(rename=True), "give runner 7 the description 'host main'"),
        (
            _answer(differences=["paused: True -> False"]),
            "change runner 7 (host main): paused: True -> False",
        ),
        (_answer(token_expires_at="2030-01-01T00:00:00.000Z"), "keep what GitLab accepts"),
    ],
)
def test_what_is_done_is_said_in_words(answer: dict[str, Any], said: str) -> None:
    ((words,),) = [item["words"] for item in _work(answer)]
    assert said in words
    assert "glrt-" not in json.dumps(_work(answer))


def test_a_pool_that_is_no_more_is_left_too() -> None:
    pools = PLANS.plan([MAIN], "host")
    own = {"old": {"pool": "old", "id": 3, "token": "glrt-o", "description": "host old"}}
    found = PLANS.leavers(pools, own, [{"pool": "main", "token": "glrt-m"}])
    assert [(entry["pool"], entry["id"], entry["description"], entry["tokens"]) for entry in found] == [
        ("main", 0, "host main", ["glrt-m"]),
        ("old", 3, "host old", ["glrt-o"]),
    ]


def test_a_runner_that_another_host_has_rotated_is_not_rotated_again() -> None:
    entries = [{"pool": "main", "id": 4}, {"pool": "agent", "id": 5}]
    found = [_answer(), _answer(online_elsewhere=["s_two"])]
    (item,) = PLANS.rotation(entries, found, [4])
    assert (item["pool"], item["online_elsewhere"]) == ("agent", ["s_two"])


def test_of_a_host_that_is_gone_only_runners_of_its_name_are_removed() -> None:
    pools = [MAIN, {**MAIN, "name": "all", "shared": True, "description": "all"}]
    assert [entry["description"] for entry in PLANS.vanished(["gone"], pools)] == ["gone main"]
    # Its name is the beginning of another's, whose name the inventory has put into the description.
    assert PLANS.vanished(["gone"], [{**MAIN, "description": "gone-2 main"}]) == []
    assert len(PLANS.vanished(["gone"], [{**MAIN, "description": "main of gone"}])) == 1


def test_tags_may_be_one_text_with_commas() -> None:
    (pool,) = PLANS.plan([{**MAIN, "tags": "nx-main, gpu"}], "runner-1")
    assert pool["tags"] == ["nx-main", "gpu"]
