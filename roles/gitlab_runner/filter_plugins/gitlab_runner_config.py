"""Builds the whole of the runner's config.toml from the role's variables, or says what is wrong with them.

It never reads a host and never writes text: gitlab_runner_toml does.
"""

from __future__ import annotations

import difflib
import functools
import re
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError  # type: ignore[import-untyped]

Table = dict[str, Any]

EXECUTORS = ("docker", "shell", "docker-autoscaler", "instance")
IN_CONTAINERS = ("docker", "docker-autoscaler")
ON_INSTANCES = ("docker-autoscaler", "instance")

# Capabilities that no build needs. Those left are what the runner's helper uses on build volumes as root.
DROPPED_CAPABILITIES = ["AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP", "SYS_CHROOT"]
# An empty list would allow all services: this names an image that there is not.
NO_SERVICES = ["none"]

KNOWN_KEYS = Path(__file__).resolve().parent.parent / "files" / "known-keys.toml"


@functools.cache
def known_keys() -> dict[str, list[str]]:
    """Return the documented keys of each table that the role checks."""
    return tomllib.loads(KNOWN_KEYS.read_text(encoding="utf-8"))["keys"]  # type: ignore[no-any-return]


def merged(base: Table, over: Table) -> Table:
    """Return `base` with `over` laid on it: tables are merged, all else is replaced, and None takes a key out."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            below = result.get(key)
            result[str(key)] = merged(below if isinstance(below, dict) else {}, value)
        else:
            result[str(key)] = value
    return result


def parsed_extra(extra: Any, where: str) -> Table:
    """Return free-form configuration as a table; a text is TOML, and its mistakes are told by line."""
    if not extra:
        return {}
    if isinstance(extra, dict):
        return dict(extra)
    if not isinstance(extra, str):
        raise AnsibleFilterError(f"{where} is neither a mapping nor TOML text but {type(extra).__name__}.")
    try:
        return tomllib.loads(extra)
    except tomllib.TOMLDecodeError as error:
        raise AnsibleFilterError(
            f"{where} is no valid TOML: {error}.{_line_of(extra, str(error))}"
        ) from error


def _line_of(text: str, message: str) -> str:
    """Return the line that a parser's message names, as the end of a sentence."""
    found = re.search(r"at line (\d+)", message)
    lines = text.splitlines()
    if not found or int(found[1]) > len(lines):
        return " Its last line is not complete."
    return f" Correct line {found[1]}: {lines[int(found[1]) - 1].strip()}"


def _moment(value: Any) -> datetime | None:
    """Return a time as TOML has it: the runner refuses a text there."""
    if not value:
        return None
    if isinstance(value, datetime):
        return value
    return datetime.fromisoformat(str(value))


def proxy_environment(proxy: Table) -> Table:
    """Return proxies as variables, in both cases: programs differ in the one they look at."""
    values: Table = {}
    for name, key in (("http_proxy", "http"), ("https_proxy", "https"), ("no_proxy", "no_proxy")):
        if proxy.get(key):
            values[name.upper()] = values[name] = proxy[key]
    return values


def _environment(settings: Table, pool: Table) -> list[str]:
    """Return what every job of a pool finds in its environment; the last of a name wins."""
    values: Table = {}
    if settings.get("coordinator_url"):
        values["NX_CLOUD_API"] = settings["coordinator_url"]
    values |= _extra_ca(settings, pool)
    values |= proxy_environment(settings.get("proxy") or {})
    values |= settings.get("environment") or {}
    values |= pool.get("environment") or {}
    return [f"{key}={_word(value)}" for key, value in values.items() if value is not None]


def _word(value: Any) -> str:
    """Return a variable's value; YAML's booleans become what JavaScript and shells write."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _extra_ca(settings: Table, pool: Table) -> Table:
    """Return how jobs learn of a CA of one's own: by a path where there is one, else by the certificates themselves."""
    path = settings.get("job_ca_file")
    if not path:
        return {}
    executor = pool.get("executor", "docker")
    if executor == "docker":
        return {"NX_DTE_EXTRA_CA": path}
    if executor == "shell":  # no image, hence no entrypoint that would tell Node
        return {"NX_DTE_EXTRA_CA": path, "NODE_EXTRA_CA_CERTS": path}
    return {"NX_DTE_EXTRA_CA": settings.get("job_ca_pem") or path}


def _docker(settings: Table, pool: Table) -> Table:
    """Return [runners.docker]: hardened defaults, then the host's keys, then the pool's."""
    image = pool.get("image") or settings.get("image") or ""
    table: Table = {
        "image": image,
        "helper_image": settings.get("helper_image") or None,
        "privileged": False,
        "allowed_images": list(settings.get("image_names") or [image])
        if image == settings.get("image")
        else [image],
        "allowed_services": list(NO_SERVICES),
        "pull_policy": ["if-not-present"],
        "cap_drop": list(DROPPED_CAPABILITIES),
        "security_opt": ["no-new-privileges:true"],
        "disable_cache": False,
        "volumes": ["/cache"],
        "extra_hosts": list(settings.get("extra_hosts") or []) or None,
    }
    for over in (settings.get("docker"), pool.get("docker")):
        table = merged(table, over or {})
    table = merged({}, table)
    path = settings.get("job_ca_file")
    if path and pool.get("executor", "docker") == "docker":
        # Added also where the pool has volumes of its own: without it jobs would not trust the coordinator.
        table["volumes"] = [*table.get("volumes", []), f"{path}:{path}:ro"]
    return table


def _request_concurrency(settings: Table, pool: Table) -> int:
    """Return how many jobs are asked for at once: all agents of a pipeline start together, if there is room."""
    wanted = pool.get("request_concurrency")
    return int(wanted) if wanted else max(1, min(int(pool["limit"]), int(settings["agents_per_pipeline"])))


def runner(settings: Table, pool: Table, registered: Table) -> Table:
    """Return one [[runners]] table."""
    executor = pool.get("executor", "docker")
    tables: Table = {
        "feature_flags": settings.get("feature_flags") or None,
        "cache": pool.get("cache") or None,
        "docker": _docker(settings, pool) if executor in IN_CONTAINERS else None,
        "autoscaler": pool.get("autoscaler") if executor in ON_INSTANCES else None,
    }
    table: Table = {
        "name": f"{settings['host']} {pool['name']}",
        "url": settings["url"],
        "id": registered.get("id") or None,
        "token": registered.get("token") or "",
        "token_obtained_at": _moment(registered.get("token_obtained_at")),
        "token_expires_at": _moment(registered.get("token_expires_at")),
        "tls-ca-file": settings.get("gitlab_ca_file") or None,
        "executor": executor,
        "limit": int(pool["limit"]),
        "request_concurrency": _request_concurrency(settings, pool),
        "environment": _environment(settings, pool) or None,
    }
    extra = parsed_extra(pool.get("extra"), f"gitlab_runner_pools: pool '{pool['name']}': extra")
    return merged(merged({}, table | tables), extra)


def config(settings: Table, registered: list[Table]) -> Table:
    """Return all of config.toml; `registered` has one entry for each pool, by its name."""
    tokens = {entry["pool"]: entry for entry in registered}
    pools = settings["pools"]
    concurrent = int(settings.get("concurrent") or 0) or sum(int(pool["limit"]) for pool in pools)
    table: Table = {
        "concurrent": concurrent,
        "check_interval": int(settings["check_interval"]),
        "log_level": settings["log_level"],
        "shutdown_timeout": int(settings["shutdown_timeout_s"]),
        "listen_address": settings.get("listen_address") or None,
    }
    result = merged(merged({}, table), parsed_extra(settings.get("extra"), "gitlab_runner_extra"))
    result["runners"] = [runner(settings, pool, tokens.get(pool["name"], {})) for pool in pools]
    return result


def config_problems(settings: Table) -> list[str]:
    """Return all that is wrong with the variables, each as a sentence that says what to do; an empty list is good."""
    problems = _extra_problems(
        settings.get("extra"), "gitlab_runner_extra", "runners", "describe runners in gitlab_runner_pools"
    )
    problems += _unknown(settings.get("docker") or {}, "docker", "gitlab_runner_docker")
    names = [str(pool.get("name", "")) for pool in settings["pools"]]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(
            f"gitlab_runner_pools: the name '{name}' stands there {names.count(name)} times. Give each pool its own."
        )
    for pool in settings["pools"]:
        problems += _pool_problems(settings, pool)
    return problems


def _pool_problems(settings: Table, pool: Table) -> list[str]:
    """Return what is wrong with one pool."""
    name, executor = str(pool.get("name", "")), pool.get("executor", "docker")
    where = f"gitlab_runner_pools: pool '{name}'"
    problems = _unknown(pool, "pool", where)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        problems.append(
            f"{where}: a name has letters, digits, - and _ only, since a file is called after it."
        )
    if executor not in EXECUTORS:
        return [*problems, f"{where}: executor '{executor}' is not one of {', '.join(EXECUTORS)}."]
    if executor in IN_CONTAINERS:
        if not (pool.get("image") or settings.get("image")):
            problems.append(
                f"{where}: no image for its jobs. Set gitlab_runner_image, or nx_dte_image_reference."
            )
        problems += _unknown(pool.get("docker") or {}, "docker", f"{where}: docker")
    elif pool.get("docker"):
        problems.append(
            f"{where}: executor {executor} has no [runners.docker]. Remove `docker`, or change the executor."
        )
    problems += _autoscaler_problems(pool, executor, where)
    problems += _cache_problems(pool.get("cache") or {}, f"{where}: cache")
    own = "write [docker], not [runners.docker]: it stands in the [[runners]] table already"
    return problems + _extra_problems(pool.get("extra"), f"{where}: extra", "runners", own)


def _autoscaler_problems(pool: Table, executor: str, where: str) -> list[str]:
    """Return what is wrong with [runners.autoscaler] and the tables in it."""
    table = pool.get("autoscaler") or {}
    if executor not in ON_INSTANCES:
        unused = f"{where}: executor {executor} does not scale. Remove `autoscaler`, or take docker-autoscaler or instance."
        return [unused] if table else []
    problems = _unknown(table, "autoscaler", f"{where}: autoscaler")
    missing = [key for key in ("plugin", "max_instances", "capacity_per_instance") if not table.get(key)]
    if missing:
        problems.append(f"{where}: autoscaler lacks {', '.join(missing)}.")
    elif int(table["max_instances"]) * int(table["capacity_per_instance"]) < int(pool.get("limit", 0)):
        room = int(table["max_instances"]) * int(table["capacity_per_instance"])
        problems.append(
            f"{where}: limit {pool['limit']} is more than max_instances * capacity_per_instance = {room}: jobs would be taken"
            " that find no instance. Lower the limit, or raise one of them."
        )
    for key in ("connector_config", "scale_throttle", "state_storage", "vm_isolation"):
        problems += _unknown(table.get(key) or {}, key, f"{where}: autoscaler.{key}")
    for number, policy in enumerate(table.get("policy") or [], start=1):
        problems += _unknown(policy, "policy", f"{where}: autoscaler.policy {number}")
    return problems


def _cache_problems(cache: Table, where: str) -> list[str]:
    """Return what is wrong with [runners.cache] and the tables in it."""
    problems = _unknown(cache, "cache", where)
    for key in ("s3", "gcs", "azure"):
        problems += _unknown(cache.get(key) or {}, f"cache_{key}", f"{where}.{key}")
    return problems


def _extra_problems(extra: Any, where: str, forbidden: str, instead: str) -> list[str]:
    """Return what is wrong with a free-form part. Its keys are not checked: that is what it is for."""
    try:
        table = parsed_extra(extra, where)
    except AnsibleFilterError as error:
        return [str(error)]
    problems = [f"{where}: no '{forbidden}' there; {instead}."] if forbidden in table else []
    if "token" in table:
        problems.append(f"{where}: no 'token' there; the role keeps tokens, and would lose this one.")
    return problems


def _unknown(table: Table, kind: str, where: str) -> list[str]:
    """Return a sentence for each key that is not documented, with the one that was probably meant."""
    known = known_keys()[kind]
    problems = []
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            meant = f" Did you mean '{near[0]}'?" if near else ""
            way_out = (
                "" if kind == "pool" else " A key that is newer than this role goes into the pool's `extra`."
            )
            problems.append(f"{where}: unknown key '{key}'.{meant}{way_out}")
    return problems


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Any]:
        """Return them by the names that templates use."""
        return {
            "gitlab_runner_config": config,
            "gitlab_runner_config_problems": config_problems,
            "gitlab_runner_proxy_environment": proxy_environment,
        }
