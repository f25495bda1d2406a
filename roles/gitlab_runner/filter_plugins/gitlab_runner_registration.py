"""What registration wants of each pool, with every default filled in; and what is wrong with that.

It never talks to GitLab: the modules in library/ do.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

Table = dict[str, Any]

LONGEST_DESCRIPTION = 255
# GitLab refuses less.
SHORTEST_TIMEOUT_S = 600
ACCESS_LEVELS = ("not_protected", "ref_protected")


def number(value: Any) -> int | None:
    """Return a whole number, also where a variable holds it as text; None for anything else."""
    try:
        return None if isinstance(value, bool) else int(str(value))
    except ValueError:
        return None


def truth(value: Any) -> bool:
    """Return a boolean, also as inventories in INI write it."""
    return value is True or str(value).lower() in {"true", "yes", "on", "1"}


def words(value: Any) -> list[str]:
    """Return a list of words, also where an inventory writes them as one text with commas."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return [str(word) for word in value or []]


def plan(pools: list[Table], host: str, *, registration: bool = True) -> list[Table]:
    """Return the pools as GitLab shall have them; without secrets, so that it may be kept as a fact."""
    return [_planned(pool, host, registration=registration) for pool in pools]


def _planned(pool: Table, host: str, *, registration: bool) -> Table:
    """Return one pool; whatever is wrong stays as it is, for plan_problems to tell."""
    name = str(pool.get("name", ""))
    description = str(pool.get("description") or f"{host} {name}")
    token = str(pool.get("token") or "")
    # Who shares a token shares its limit. A digest says so without saying the token.
    digest = hashlib.sha256(token.encode()).hexdigest()[:12]
    return {
        "name": name,
        "description": description,
        "has_own_description": bool(pool.get("description")),
        "tags": words(pool.get("tags")),
        "limit": number(pool.get("limit", 0)),
        "request_concurrency": number(pool.get("request_concurrency") or 0),
        "shared": truth(pool.get("shared", False)),
        "run_untagged": truth(pool.get("run_untagged", False)),
        "locked": truth(pool.get("locked", False)),
        "paused": truth(pool.get("paused", False)),
        "access_level": str(pool.get("access_level") or "not_protected"),
        "maximum_timeout": number(pool.get("maximum_timeout", 3600)),
        "runner": description if registration else digest,
        "has_token": bool(token),
    }


def plan_problems(planned: list[Table], scope: Table, *, url: str, registration: bool = True) -> list[str]:
    """Return all that is wrong with the plan, each as a sentence that says what to do; an empty list is good."""
    problems = _scope_problems(scope) if registration else []
    if not re.match(r"https?://[^/\s]", url):
        problems.append(
            f"gitlab_runner_gitlab_url is '{url}', but an address begins with https:// or http://. Set it to GitLab's."
        )
    if not planned:
        problems.append(
            "gitlab_runner_pools is empty. Name at least one pool, or set gitlab_runner_state to absent."
        )
    for pool in planned:
        where = f"gitlab_runner_pools: pool '{pool['name']}'"
        problems += [f"{where}: {text}" for text in _pool_problems(pool, registration=registration)]
    return problems


def _scope_problems(scope: Table) -> list[str]:
    kind, identifier = str(scope.get("type", "")), scope.get("id")
    if kind not in {"instance", "group", "project"}:
        return [f"gitlab_runner_scope: type '{kind}' is not one of instance, group and project."]
    if kind != "instance" and (number(identifier) or 0) < 1:
        example = f"{{type: {kind}, id: 42}}"
        return [
            f"gitlab_runner_scope: the id of a {kind} is its number, not {identifier!r}. Its page in GitLab shows it: {example}."
        ]
    return []


def _pool_problems(pool: Table, *, registration: bool) -> list[str]:
    problems = []
    if not pool["tags"] and not pool["run_untagged"]:
        problems.append(
            "tags is empty, so no job would ever be for it. Name a tag, or set run_untagged to true."
        )
    if any("," in tag or not tag.strip() for tag in pool["tags"]):
        problems.append("a tag is a word without commas; write one list entry for each.")
    if pool["access_level"] not in ACCESS_LEVELS:
        problems.append(f"access_level '{pool['access_level']}' is not one of {' and '.join(ACCESS_LEVELS)}.")
    if pool["maximum_timeout"] is None or pool["maximum_timeout"] < SHORTEST_TIMEOUT_S:
        problems.append(
            f"maximum_timeout is a number of seconds, at least {SHORTEST_TIMEOUT_S}: GitLab takes no less."
        )
    if len(pool["description"]) > LONGEST_DESCRIPTION:
        problems.append(
            f"its description has {len(pool['description'])} characters; GitLab keeps {LONGEST_DESCRIPTION}. Give it a shorter one."
        )
    if pool["shared"] and registration and not pool["has_own_description"]:
        problems.append(
            "a shared pool needs a `description` of its own: one that no other fleet of this GitLab uses."
        )
    if not registration and not pool["has_token"]:
        problems.append(
            "with gitlab_runner_registration false it needs its `token` (glrt-…), best from a vault."
        )
    if registration and pool["has_token"]:
        problems.append(
            "`token` is for gitlab_runner_registration false; remove it: the role keeps tokens itself."
        )
    return problems


def stored(lines: list[str], url: str) -> dict[str, Table]:
    """Return what token files say, by pool; a line is one file in Base64. One of another GitLab, or a broken one, counts as lost."""
    files = [values for values in map(_json, lines) if values.get("token") and values.get("pool")]
    return {str(values["pool"]): values for values in files if values.get("url", url) == url}


def orphans(planned: list[Table], own: dict[str, Table]) -> list[str]:
    """Return the runners of pools that the host has no more, in words."""
    names = {pool["name"] for pool in planned}
    return [
        f"runner {entry['id']} ({entry.get('description')})"
        for name, entry in own.items()
        if name not in names
    ]


def _json(content: str) -> Table:
    try:
        values = json.loads(base64.b64decode(content))
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def candidates(
    planned: list[Table], own: dict[str, Table], live: list[Table], others: list[Table]
) -> dict[str, list[Table]]:
    """Return for each pool the entries whose tokens may be its runner's.

    What config.toml holds comes first, since the runner writes there what it has got last, then what the host has stored, and for
    a shared pool what other hosts have.
    """
    found: dict[str, list[Table]] = {}
    for pool in planned:
        mine = own.get(pool["name"], {})
        sources = [entry for entry in live if entry.get("pool") == pool["name"]] + [mine]
        if pool["shared"]:
            sources += [entry for entry in others if entry.get("description") == pool["description"]]
        tokens: dict[str, Table] = {}
        for entry in sources:
            token = str(entry.get("token") or "")
            if token and token not in tokens:
                # The file says more of the same token than config.toml does.
                tokens[token] = mine if mine.get("token") == token else entry
        found[pool["name"]] = list(tokens.values())
    return found


def given(
    planned: list[Table], pools: list[Table], live: list[Table], own: dict[str, Table]
) -> dict[str, list[Table]]:
    """Return the same where the API is not used: the token that the pool brings.

    Unless the runner has rotated it, and the inventory still has the old one: then config.toml's is the newer.
    """
    found = {}
    for pool, raw in zip(planned, pools, strict=True):
        brought = {"pool": pool["name"], "token": str(raw.get("token") or "")}
        kept = candidates([pool], own, live, [])[pool["name"]]
        found[pool["name"]] = [brought, *(entry for entry in kept if entry["token"] != brought["token"])]
    return found


def questions(planned: list[Table], own: dict[str, Table], tokens: dict[str, list[Table]]) -> list[Table]:
    """Return the parameter `pools` of the module gitlab_runner_survey."""
    keys = (
        "name",
        "description",
        "shared",
        "tags",
        "run_untagged",
        "locked",
        "paused",
        "access_level",
        "maximum_timeout",
    )
    return [
        {
            **{key: pool[key] for key in keys},
            "stored": {key: own.get(pool["name"], {}).get(key) for key in ("id", "description")},
            "candidates": [entry["token"] for entry in tokens[pool["name"]]],
        }
        for pool in planned
    ]


def entry_of(pool: Table, source: Table, url: str) -> Table:
    """Return what is kept of a pool: its file below tokens/, and its place in `_gitlab_runner_registered`."""
    return {
        "pool": pool["name"],
        "id": int(source.get("id") or 0),
        "token": str(source.get("token") or ""),
        "token_obtained_at": source.get("token_obtained_at") or "",
        "token_expires_at": source.get("token_expires_at") or "",
        "description": pool["description"],
        "url": url,
    }


def known(found: list[Table], planned: list[Table], tokens: dict[str, list[Table]], url: str) -> list[Table]:
    """Return the entries of all pools, with an empty token where GitLab accepts none of those at hand."""
    entries = []
    for pool, answer in zip(planned, found, strict=True):
        is_good = answer["accepted"] >= 0
        source = tokens[pool["name"]][answer["accepted"]] if is_good else {}
        dates = {"token_expires_at": answer["token_expires_at"]} if is_good else {}
        entries.append(entry_of(pool, {**source, **dates, "id": answer["id"]}, url))
    return entries


def work(
    found: list[Table], entries: list[Table], own: dict[str, Table], *, registration: bool = True
) -> list[Table]:
    """Return what is to be done, and why, in words; nothing for a pool whose runner, token and file are as they should be."""
    todo = []
    for answer, entry in zip(found, entries, strict=True):
        words = _words(answer, entry) if registration else []
        if answer["state"] == "good" and own.get(entry["pool"]) != entry:
            words.append("keep what GitLab accepts in the host's file")
        if words:
            todo.append(
                {
                    "pool": entry["pool"],
                    "id": answer["id"],
                    "state": answer["state"],
                    "rename": answer["rename"],
                    "change": answer["state"] == "missing" or bool(answer["differences"]),
                    "words": [*answer["notes"], *words],
                    "online_elsewhere": answer["online_elsewhere"],
                }
            )
    return todo


def _words(answer: Table, entry: Table) -> list[str]:
    if answer["state"] == "missing":
        return [f"create the runner '{entry['description']}'"]
    which = f"runner {answer['id']} ({entry['description']})"
    words = (
        [f"give runner {answer['id']} the description '{entry['description']}'"] if answer["rename"] else []
    )
    words += [f"change {which}: {text}" for text in answer["differences"]]
    if answer["state"] == "lost":
        words.append(f"reset the token of {which}: GitLab accepts none of those that this host has")
    return words


def replaced(entries: list[Table], new: Table) -> list[Table]:
    """Return the entries with one pool's replaced."""
    return [new if entry["pool"] == new["pool"] else entry for entry in entries]


def leader(hosts: list[Table], pool: str) -> str:
    """Return which of the hosts that share a pool's runner speaks to GitLab for all: the first that has something to do for it."""
    return next(
        str(host["inventory_hostname"])
        for host in hosts
        if any(item["pool"] == pool for item in host["_gitlab_runner_work"])
    )


def stale(found: list[Table], entries: list[Table]) -> list[Table]:
    """Return the parameter `runners` of the module gitlab_runner_leave for runners with managers that nobody has heard of."""
    return [
        {
            "pool": entry["pool"],
            "id": entry["id"],
            "description": entry["description"],
            "tokens": [entry["token"]],
        }
        for answer, entry in zip(found, entries, strict=True)
        if answer["stale"]
    ]


def leavers(planned: list[Table], own: dict[str, Table], live: list[Table]) -> list[Table]:
    """Return the parameter `runners` of the module gitlab_runner_leave for all pools of a host, those that it has no more included."""
    pools = {pool["name"]: pool for pool in planned}
    found = []
    for name in dict.fromkeys([*pools, *own]):
        kept, pool = own.get(name, {}), pools.get(name, {})
        tokens = [
            str(entry["token"])
            for entry in [*live, kept]
            if entry.get("pool", name) == name and entry.get("token")
        ]
        found.append(
            {
                "pool": name,
                "id": int(kept.get("id") or 0),
                "description": str(kept.get("description") or pool.get("description", "")),
                "shared": bool(pool.get("shared", False)),
                "tokens": list(dict.fromkeys(tokens)),
            }
        )
    return found


def vanished(hosts: list[str], pools: list[Table]) -> list[Table]:
    """Return the same for hosts that nobody can ask any more.

    A runner that other hosts share is not theirs alone, nor is one whose name only begins as theirs: runner-1 is not runner-10.
    """
    return [
        {"pool": pool["name"], "description": pool["description"], "vanished": True}
        for host in hosts
        for pool in plan(pools, host)
        if not pool["shared"] and re.search(rf"(?<![\w.-]){re.escape(host)}(?![\w.-])", pool["description"])
    ]


def rotation(entries: list[Table], found: list[Table], done: list[int]) -> list[Table]:
    """Return the work of register_pool.yml that resets each token, but for runners whose token was reset just now."""
    return [
        {
            "pool": entry["pool"],
            "id": entry["id"],
            "state": "lost",
            "rename": False,
            "change": False,
            "online_elsewhere": answer["online_elsewhere"],
        }
        for entry, answer in zip(entries, found, strict=True)
        if entry["id"] not in done
    ]


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Any]:
        """Return them by the names that tasks use."""
        return {
            "gitlab_runner_candidates": candidates,
            "gitlab_runner_entry": entry_of,
            "gitlab_runner_given": given,
            "gitlab_runner_known": known,
            "gitlab_runner_leader": leader,
            "gitlab_runner_leavers": leavers,
            "gitlab_runner_orphans": orphans,
            "gitlab_runner_plan": plan,
            "gitlab_runner_plan_problems": plan_problems,
            "gitlab_runner_questions": questions,
            "gitlab_runner_replaced": replaced,
            "gitlab_runner_rotation": rotation,
            "gitlab_runner_stale": stale,
            "gitlab_runner_stored": stored,
            "gitlab_runner_vanished": vanished,
            "gitlab_runner_work": work,
        }
