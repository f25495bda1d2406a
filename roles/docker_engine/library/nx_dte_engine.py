#!/usr/bin/python
"""Says what container engine a host has, what of the wanted one is missing, and what a new daemon.json asks of a running one."""

from __future__ import annotations

import fnmatch
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: nx_dte_engine
short_description: Look at a host's container engine, and refuse what would break it
description:
  - Reads dpkg's database and /etc/docker/daemon.json. Changes nothing, and does the same in check mode.
author:
  - The nx-dte authors (@nx-dte)
options:
  packages:
    description: What is wanted, each with a version (a shell pattern), or empty for any.
    type: dict
    required: true
  asked_by:
    description: The variable that asks for these packages; empty for the defaults, which give way to another engine.
    type: str
    default: ""
  daemon:
    description: What daemon.json shall hold.
    type: dict
    required: true
  data_root:
    description: Where the engine shall keep its data.
    type: path
    required: true
"""

EXAMPLES = """
- name: The engine
  nx_dte_engine:
    packages: {docker.io: ""}
    daemon: {live-restore: true}
    data_root: /var/lib/docker
"""

RETURN = """
engine:
  description: The package of the engine that is installed, or empty.
  returned: always
  type: str
missing:
  description: Packages that are not there, or have another version.
  returned: always
  type: list
  elements: str
held:
  description: Those of the wanted packages that dpkg keeps at their version.
  returned: always
  type: list
  elements: str
changes:
  description: Keys of daemon.json that will be others than before.
  returned: always
  type: list
  elements: str
action:
  description: What a running engine must do to follow the new daemon.json, C(reload), C(restart) or nothing.
  returned: always
  type: str
files:
  description: Which of the files that the role writes are there.
  returned: always
  type: list
  elements: str
"""

ENGINES = ("docker.io", "docker-ce", "moby-engine")
IMPOSTER = "podman-docker"
DAEMON_JSON = Path("/etc/docker/daemon.json")
DEFAULT_DATA_ROOT = "/var/lib/docker"
WRITTEN = (
    "/etc/docker",
    "/etc/docker/nx-dte-proxy.env",
    "/etc/systemd/system/docker.service.d/nx-dte-proxy.conf",
    "/etc/apt/sources.list.d/nx-dte-docker.sources",
)
# What Docker's documentation lists as read again upon SIGHUP.
RELOADED = frozenset(
    {
        "allow-nondistributable-artifacts",
        "authorization-plugins",
        "debug",
        "default-runtime",
        "features",
        "insecure-registries",
        "labels",
        "live-restore",
        "max-concurrent-downloads",
        "max-concurrent-uploads",
        "max-download-attempts",
        "registry-mirrors",
        "runtimes",
        "shutdown-timeout",
    }
)
ASK_TIMEOUT_S = 30


def installed(listing: str) -> tuple[dict[str, str], list[str]]:
    """Versions of installed packages, and the names of the held ones, from dpkg-query's lines."""
    versions, held = {}, []
    for line in listing.splitlines():
        name, version, wish, status = line.split("\t")
        if status == "installed":
            versions[name] = version
        if wish == "hold":
            held.append(name)
    return versions, sorted(held)


def missing(wanted: dict[str, str], there: dict[str, str]) -> list[str]:
    """Wanted packages that are not there in the wanted version."""
    return sorted(
        name
        for name, version in wanted.items()
        if name not in there or (version and not fnmatch.fnmatchcase(there[name], version))
    )


def conflict(wanted: dict[str, str], asked_by: str, there: dict[str, str], dockerd: str) -> list[str]:
    """Why the wanted packages can't be installed beside what is there."""
    if IMPOSTER in there:
        return [f"{IMPOSTER} calls itself docker there; `apt-get remove {IMPOSTER}`, or take another host"]
    found = next((name for name in ENGINES if name in there), "")
    if dockerd and not found:
        return [
            (
                f"{dockerd} belongs to none of the packages {', '.join(ENGINES)}: its updates and its unit are unknown to this role."
                " Remove it (its data in /var/lib/docker may stay), then run this again"
            )
        ]
    asked = next((name for name in ENGINES if name in wanted), "")
    if found and asked and asked != found and asked_by:
        return [
            (
                f"{found} is installed, and {asked_by} asks for {asked}. Leave {asked_by} empty to use what is there, or drain the host,"
                f" `apt-get remove {found}`, and run this again (images and volumes stay)"
            )
        ]
    return []


def moved(before: dict[str, Any], data_root: str) -> list[str]:
    """Why the wanted data folder would hide what the engine has."""
    current = before.get("data-root") or before.get("graph") or DEFAULT_DATA_ROOT
    if Path(current) == Path(data_root):
        return []
    return [
        (
            f"the engine keeps its data in {current}, docker_engine_data_root says {data_root}: its images, volumes and containers would"
            f" be gone. Set docker_engine_data_root: {current}, or drain the host, stop the engine, move the folder, write the"
            f" new path into {DAEMON_JSON}, and run this again"
        )
    ]


def following(before: dict[str, Any], after: dict[str, Any]) -> tuple[list[str], str]:
    """Keys that change, and what a running engine must do to follow."""
    changes = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    if not changes:
        return [], ""
    return changes, "reload" if RELOADED.issuperset(changes) else "restart"


def listing() -> str:
    """All packages that dpkg knows: name, version, wish, status."""
    form = "${Package}\t${Version}\t${db:Status-Want}\t${db:Status-Status}\n"
    asked = subprocess.run(
        ["dpkg-query", "--show", f"--showformat={form}"],
        capture_output=True,
        text=True,
        timeout=ASK_TIMEOUT_S,
        check=True,
    )
    return asked.stdout


def daemon_json() -> tuple[dict[str, Any], list[str]]:
    """What it holds now, and what is wrong with it."""
    try:
        found = json.loads(DAEMON_JSON.read_text(encoding="utf-8") or "{}")
    except FileNotFoundError:
        return {}, []
    except ValueError as error:
        return {}, [f"{DAEMON_JSON} is not JSON ({error}); correct it or remove it"]
    if not isinstance(found, dict):
        return {}, [f"{DAEMON_JSON} holds no object; correct it or remove it"]
    return found, []


def look(asked: dict[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
    """What the module returns, notes, and reasons to refuse."""
    versions, held = installed(listing())
    before, problems = daemon_json()
    wanted = {name: str(version or "") for name, version in asked["packages"].items()}
    engine = next((name for name in ENGINES if name in versions), "")
    other = engine not in ("", *wanted)
    notes = []
    if other and not asked["asked_by"]:
        notes.append(
            f"{engine} is installed and stays; docker_engine configures it, but neither updates nor holds it"
        )
    problems += conflict(wanted, asked["asked_by"], versions, shutil.which("dockerd") or "")
    if engine:
        problems += moved(before, asked["data_root"])
    changes, action = following(before, asked["daemon"])
    result = {
        "engine": engine,
        "missing": [] if other else missing(wanted, versions),
        "held": [name for name in held if name in wanted],
        "changes": changes,
        "action": action if engine else "",
        "files": [name for name in WRITTEN if Path(name).exists()],
    }
    return result, notes, problems


def main() -> None:
    """Look, and refuse with all reasons at once."""
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "dict", "required": True},
            "asked_by": {"type": "str", "default": ""},
            "daemon": {"type": "dict", "required": True},
            "data_root": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    result, notes, problems = look(module.params)
    for note in notes:
        module.warn(note)
    if problems:
        reasons = "".join(f"\n* {problem}." for problem in problems)
        module.fail_json(
            msg=f"This host's container engine stays as it is, and nothing was changed:{reasons}"
        )
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
