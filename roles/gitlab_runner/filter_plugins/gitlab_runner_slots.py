"""The arithmetic of slots: whether main jobs and agents of all hosts together can always go on, and how many pipelines fit.

Pure: plans of hosts in, sentences out. docs/operations.md says why main jobs and agents have pools of their own.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

Table = dict[str, Any]


def slots(hosts: list[Table], *, is_whole: bool = True) -> Table:
    """Return `problems` (what can deadlock, with numbers and what to do; empty is good) and `lines` (to be printed).

    A host is {host, concurrent, main_tag, agent_tag, agents, pools}. `is_whole` is false where the run covers a part of the fleet only:
    then it cannot be known that a pool is missing.
    """
    problems = [text for host in hosts for text in _host_problems(host)]
    problems += _twice_described(hosts)
    lines: list[str] = []
    for tags in dict.fromkeys((host["main_tag"], host["agent_tag"], host["agents"]) for host in hosts):
        fleet = [host for host in hosts if (host["main_tag"], host["agent_tag"], host["agents"]) == tags]
        found, text = _fleet(fleet, is_whole=is_whole)
        problems += found
        lines += text
    return {"problems": problems, "lines": lines}


def slots_of(host: Table, kind: str) -> int:
    """Return how many jobs of a kind (main, agent, other) a host can run at once."""
    return sum(pool["limit"] or 0 for pool in host["pools"] if kind in _kinds(host, pool))


def concurrent_of(host: Table) -> int:
    """Return what `concurrent` will be: by default the sum of the limits."""
    return host["concurrent"] or sum(pool["limit"] or 0 for pool in host["pools"])


def _kinds(host: Table, pool: Table) -> list[str]:
    tags = {"main": host["main_tag"], "agent": host["agent_tag"]}
    return [kind for kind, tag in tags.items() if tag in pool["tags"]] or ["other"]


def _host_problems(host: Table) -> list[str]:
    """Return what can deadlock on one host whatever the others have."""
    name, pools = host["host"], host["pools"]
    problems = []
    if host["main_tag"] == host["agent_tag"]:
        problems.append(
            f"{name}: gitlab_runner_main_tag and gitlab_runner_agent_tag are both '{host['main_tag']}': main jobs could take every slot and"
            " wait for agents that find none. Give them different tags, here and in the pipeline."
        )
    if (host["agents"] or 0) < 1:
        problems.append(
            f"{name}: gitlab_runner_agents_per_pipeline is {host['agents']}; a pipeline starts at least 1 agent."
        )
    problems += [text for pool in pools for text in _pool_problems(host, pool)]
    problems += _shared_tokens(host)
    total = sum(pool["limit"] or 0 for pool in pools)
    if host["concurrent"] is None or 0 < host["concurrent"] < total or host["concurrent"] < 0:
        sums = " + ".join(f"{pool['name']} {pool['limit']}" for pool in pools)
        problems.append(
            f"{name}: gitlab_runner_concurrent is {host['concurrent']}, but the limits add up to {total} ({sums}): one pool's jobs can"
            f" take the slots that another's limit promises. Set it to {total} or more, or to 0 for the sum."
        )
    return problems


def _pool_problems(host: Table, pool: Table) -> list[str]:
    where = f"{host['host']}: pool '{pool['name']}'"
    limit, kinds = pool["limit"], _kinds(host, pool)
    if limit is None or limit < 1:
        return [
            f"{where} has limit {limit}; 0 would be no limit, and its jobs could take every slot of the host. Give it a number of at least 1."
        ]
    problems = []
    if len(kinds) > 1 and host["main_tag"] != host["agent_tag"]:
        problems.append(
            f"{where} has both tags, {host['main_tag']} and {host['agent_tag']}, and limit {limit}: {limit} main jobs take all of its {limit}"
            " slots and wait for agents that find none. Make two pools, each with one of the tags and a limit of its own."
        )
    needed = min(limit, host["agents"] or 1) if "agent" in kinds else 1
    asked = pool["request_concurrency"]
    if asked is None or asked < 0 or 0 < asked < needed:
        problems.append(
            f"{where} has request_concurrency {asked}; {host['agents']} agents start at once and it has {limit} slots, so {needed} are needed:"
            f" with fewer, agents wait for one long poll after the other. Set it to {needed} or more, or leave it out."
        )
    return problems


def _shared_tokens(host: Table) -> list[str]:
    """Return pools that would be one runner: the process counts `limit` for each token, not for each pool."""
    problems = []
    for runner, times in Counter(pool["runner"] for pool in host["pools"]).items():
        pools = [pool for pool in host["pools"] if pool["runner"] == runner]
        if times > 1:
            names = ", ".join(f"'{pool['name']}' (limit {pool['limit']})" for pool in pools)
            problems.append(
                f"{host['host']}: the pools {names} are the same runner at GitLab: they have one token, tags are the token's, and its jobs of"
                " all kinds share one limit. Give each pool a `description` (or `token`) of its own."
            )
    return problems


def _twice_described(hosts: list[Table]) -> list[str]:
    """Return runners that several hosts would take for their own, each resetting the other's token."""
    users: dict[str, list[str]] = {}
    for host in hosts:
        for runner in {pool["runner"] for pool in host["pools"] if not pool["shared"]}:
            users.setdefault(runner, []).append(host["host"])
    return [
        f"The hosts {', '.join(names)} would each take the runner {runner!r} for their own, and reset each other's token. Put the host"
        " into the `description`, or set `shared: true` on all of them."
        for runner, names in users.items()
        if len(names) > 1
    ]


def _fleet(hosts: list[Table], *, is_whole: bool) -> tuple[list[str], list[str]]:
    """Return what is wrong with hosts that serve the same pipelines, and the block that is printed."""
    main_tag, agent_tag, agents = (hosts[0][key] for key in ("main_tag", "agent_tag", "agents"))
    mains, agent_slots = (sum(slots_of(host, kind) for host in hosts) for kind in ("main", "agent"))
    problems, notes = [], []
    for tag, count, variable in ((main_tag, mains, "main"), (agent_tag, agent_slots, "agent")):
        if count < 1:
            text = f"no pool of {', '.join(host['host'] for host in hosts)} has the tag {tag} (gitlab_runner_{variable}_tag)"
            if is_whole:
                problems.append(
                    f"There are 0 {variable} slots: {text}. Jobs with it would wait for ever. Add a pool with this tag."
                )
            else:
                notes.append(f"{text}; this run covers a part of the fleet only")
    at_once = min(mains, agent_slots // agents) if agents and agents > 0 else 0
    if not problems and not at_once and mains and agent_slots:
        notes.append(
            f"a pipeline's {agents} agents never run at once: there are {agent_slots} agent slots; main goes on with those that have come"
        )
    if at_once and mains > at_once:
        notes.append(f"{mains - at_once} more main jobs can start; they go on alone until agents are free")
    paused = [f"{host['host']} {pool['name']}" for host in hosts for pool in host["pools"] if pool["paused"]]
    if paused:
        notes.append(f"paused, and counted all the same: {', '.join(paused)}")
    return problems, [*_table(hosts, mains, agent_slots, at_once), *(f"note: {note}" for note in notes)]


def _table(hosts: list[Table], mains: int, agent_slots: int, at_once: int) -> list[str]:
    agents = hosts[0]["agents"]
    width = max(len("host"), *(len(host["host"]) for host in hosts))
    lines = [
        f"{mains} main slots, {agent_slots} agent slots: {at_once} pipelines of {agents} agents at once",
        f"{'host':{width}}  concurrent  main  agent  other",
    ]
    for host in hosts:
        main, agent, other = (slots_of(host, kind) for kind in ("main", "agent", "other"))
        lines.append(f"{host['host']:{width}}  {concurrent_of(host):>10}  {main:>4}  {agent:>5}  {other:>5}")
    return lines


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Any]:
        """Return them by the names that tasks use."""
        return {"gitlab_runner_slots": slots}
