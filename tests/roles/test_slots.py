"""The arithmetic of slots: what can deadlock is refused with numbers, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.role_code import code_of

SLOTS = code_of("gitlab_runner/filter_plugins/gitlab_runner_slots.py")
PLANS = code_of("gitlab_runner/filter_plugins/gitlab_runner_registration.py")
MAIN: dict[str, Any] = {"name": "main", "tags": ["nx-main"], "limit": 1}
AGENT: dict[str, Any] = {"name": "agent", "tags": ["nx-agent"], "limit": 3}


def _host(*pools: dict[str, Any], name: str = "one", **values: Any) -> dict[str, Any]:
    host = {"host": name, "concurrent": 0, "main_tag": "nx-main", "agent_tag": "nx-agent", "agents": 3}
    return {**host, "pools": PLANS.plan(list(pools), name), **values}


def _problems(*hosts: dict[str, Any], is_whole: bool = True) -> list[str]:
    found: list[str] = SLOTS.slots(list(hosts), is_whole=is_whole)["problems"]
    return found


def test_a_host_with_two_pools_is_good_and_is_printed() -> None:
    found = SLOTS.slots(
        [_host(MAIN, AGENT), _host(MAIN, AGENT, {"name": "x", "tags": ["x"], "limit": 2}, name="two")]
    )
    assert found["problems"] == []
    assert found["lines"] == [
        "2 main slots, 6 agent slots: 2 pipelines of 3 agents at once",
        "host  concurrent  main  agent  other",
        "one            4     1      3      0",
        "two            6     1      3      2",
    ]


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (_host({**MAIN, "tags": ["nx-main", "nx-agent"], "limit": 4}), "4 main jobs take all of its 4 slots"),
        (_host(MAIN, {**AGENT, "limit": 0}), "pool 'agent' has limit 0"),
        (_host(MAIN, {**AGENT, "limit": "many"}), "pool 'agent' has limit None"),
        (_host(MAIN, AGENT, concurrent=3), "gitlab_runner_concurrent is 3, but the limits add up to 4 (main 1 + agent 3)"),
        (_host(MAIN, {**AGENT, "request_concurrency": 2}), "request_concurrency 2; 3 agents start at once and it has 3 slots, so 3 are"),
        (_host(MAIN, agents=3), "There are 0 agent slots: no pool of one has the tag nx-agent"),
        (_host(AGENT), "There are 0 main slots: no pool of one has the tag nx-main"),
        (_host(MAIN, AGENT, agents=0), "gitlab_runner_agents_per_pipeline is 0"),
        (_host(MAIN, AGENT, main_tag="nx", agent_tag="nx"), "are both 'nx'"),
        (
            _host({**MAIN, "description": "same"}, {**AGENT, "description": "same"}),
            "the pools 'main' (limit 1), 'agent' (limit 3) are the same runner",
        ),
    ],
)  # fmt: skip
def test_what_can_deadlock_is_refused_with_numbers(host: dict[str, Any], said: str) -> None:
    assert [problem for problem in _problems(host) if said in problem], _problems(host)


def test_pools_that_bring_the_same_token_share_its_limit() -> None:
    pools = [{**MAIN, "token": "glrt-same"}, {**AGENT, "token": "glrt-same"}]
    host = _host() | {"pools": PLANS.plan(pools, "one", registration=False)}
    (problem,) = _problems(host)
    assert "are the same runner" in problem
    assert "glrt-same" not in problem


def test_hosts_may_divide_the_pools_among_them() -> None:
    assert _problems(_host(MAIN), _host(AGENT, name="two")) == []


def test_a_part_of_the_fleet_cannot_know_that_a_pool_is_missing() -> None:
    found = SLOTS.slots([_host(MAIN)], is_whole=False)
    assert found["problems"] == []
    assert (
        "note: no pool of one has the tag nx-agent (gitlab_runner_agent_tag); this run covers a part of the fleet only"
        in found["lines"]
    )


def test_one_description_on_two_hosts_is_refused_unless_it_is_shared() -> None:
    ours = {**MAIN, "description": "ours"}
    (problem,) = _problems(_host(ours, AGENT), _host(ours, AGENT, name="two"))
    assert "The hosts one, two would each take the runner 'ours'" in problem
    shared = {**ours, "shared": True}
    assert _problems(_host(shared, AGENT), _host(shared, AGENT, name="two")) == []


def test_what_is_slow_but_goes_on_is_a_note() -> None:
    lines = SLOTS.slots([_host({**MAIN, "limit": 2}, {**AGENT, "limit": 2, "paused": True})])["lines"]
    assert (
        "note: a pipeline's 3 agents never run at once: there are 2 agent slots; main goes on with those that have come"
        in lines
    )
    assert "note: paused, and counted all the same: one agent" in lines


POOLS = st.lists(
    st.builds(
        lambda tags, limit, requests: {"tags": sorted(tags), "limit": limit, "request_concurrency": requests},
        st.sets(st.sampled_from(["nx-main", "nx-agent", "other"]), min_size=1),
        st.integers(0, 5),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=4,
)


@given(
    fleets=st.lists(st.tuples(POOLS, st.integers(0, 12)), min_size=1, max_size=3), agents=st.integers(1, 6)
)
def test_whatever_passes_lets_every_main_and_at_least_one_agent_run_at_once(
    fleets: list[tuple[list[dict[str, Any]], int]], agents: int
) -> None:
    """Main jobs hold every slot that they may have, on all hosts: an agent must still find one; and the other way round."""
    hosts = [
        _host(*({"name": f"p{index}", **pool} for index, pool in enumerate(pools)), name=f"h{number}")
        | {"concurrent": concurrent, "agents": agents}
        for number, (pools, concurrent) in enumerate(fleets)
    ]
    if _problems(*hosts):
        return
    free = {"nx-main": 0, "nx-agent": 0}
    for host in hosts:
        concurrent = SLOTS.concurrent_of(host)
        for kind, others in (("nx-agent", "nx-main"), ("nx-main", "nx-agent")):
            taken = sum(pool["limit"] for pool in host["pools"] if kind not in pool["tags"])
            mine = sum(
                pool["limit"] for pool in host["pools"] if kind in pool["tags"] and others not in pool["tags"]
            )
            free[kind] += min(mine, concurrent - taken)
    assert min(free.values()) >= 1, hosts


@given(limits=st.lists(st.integers(1, 9), min_size=2, max_size=6), agents=st.integers(1, 9))
def test_pools_of_their_own_with_defaults_are_never_refused(limits: list[int], agents: int) -> None:
    pools = [
        {"name": f"p{index}", "tags": ["nx-main" if index % 2 else "nx-agent"], "limit": limit}
        for index, limit in enumerate(limits)
    ]
    assert _problems(_host(*pools, agents=agents)) == []
