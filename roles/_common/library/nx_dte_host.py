#!/usr/bin/python
"""Says whether a host can take a role, and what to do where it can't. It changes nothing."""

from __future__ import annotations

import os
import platform
import pwd
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = """
module: nx_dte_host
short_description: Refuse a host that a role can't use, with all reasons at once
description:
  - Looks at the operating system, the service manager, the architecture, rights, clock and free disk.
  - Changes nothing, and does the same in check mode.
author:
  - The nx-dte authors (@nx-dte)
options:
  role:
    description: Who asks; it stands in messages.
    type: str
    required: true
  architectures:
    description: Which are possible, by Debian's names.
    type: list
    elements: str
    default: [amd64, arm64]
  disk:
    description: How much must be free where. A path need not exist yet.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: A folder.
        type: path
        required: true
      min_gb:
        description: So many gigabytes (10^9 bytes).
        type: float
        required: true
      setting:
        description: The variable that asks for them; it stands in the message.
        type: str
        required: true
  now:
    description: The control machine's clock when the task began, in seconds since 1970.
    type: float
    required: true
  max_clock_skew_s:
    description: How far the host's clock may be from it where nothing synchronises the host's.
    type: float
    default: 30
  passed:
    description: Becomes the fact C(nx_dte_passed) where nothing is wrong, so that the same is not asked twice.
    type: list
    elements: str
    default: []
"""

EXAMPLES = """
- name: The host can be used
  nx_dte_host:
    role: docker_engine
    now: "{{ now().timestamp() }}"
    disk:
      - {path: /var/lib/docker, min_gb: 10, setting: docker_engine_min_free_gb}
"""

RETURN = """
notes:
  description: What is worth knowing though it stops nothing; also printed as warnings.
  returned: always
  type: list
  elements: str
"""

SUPPORTED = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04")}
UNVERIFIED = ("ubuntu",)
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MIN_PYTHON = (3, 9)
ASK_TIMEOUT_S = 5
GB = 1e9


def os_release(text: str) -> dict[str, str]:
    """The keys of /etc/os-release."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, value in pairs}


def system(release: dict[str, str]) -> tuple[list[str], list[str]]:
    """Problems and notes on the operating system."""
    name, version = release.get("ID", "unknown"), release.get("VERSION_ID", "unknown")
    shown = release.get("PRETTY_NAME") or f"{name} {version}"
    if version not in SUPPORTED.get(name, ()):
        return [
            f"it runs {shown}; take a host with Debian 12 or 13 (Ubuntu 22.04 and 24.04 are accepted, but unverified)"
        ], []
    if name in UNVERIFIED:
        return [], [
            f"{shown} is accepted, but nobody has verified these roles on it; Debian 12 and 13 are tested"
        ]
    return [], []


def service_manager(first_process: str, *, folder_exists: bool) -> list[str]:
    """Problems with the service manager."""
    if first_process == "systemd" and folder_exists:
        return []
    return [
        f"its first process is {first_process}, not systemd; the services need systemd to keep them running"
    ]


def architecture(machine: str, possible: list[str]) -> list[str]:
    """Problems with the architecture."""
    name = ARCHITECTURES.get(machine, machine)
    return (
        []
        if name in possible
        else [f"its architecture is {name}; there are images for {', '.join(possible)} only"]
    )


def python(version: tuple[int, int]) -> list[str]:
    """Problems with the interpreter that Ansible uses there."""
    if version >= MIN_PYTHON:
        return []
    found, wanted = (".".join(map(str, numbers)) for numbers in (version, MIN_PYTHON))
    return [
        f"Ansible uses Python {found} there; install {wanted} or newer and name it in ansible_python_interpreter"
    ]


def rights(uid: int, user: str) -> list[str]:
    """Problems with the user."""
    return [] if uid == 0 else [f"tasks run as {user}, not as root; set ansible_become: true for it"]


def clock(
    skew_s: float, allowed_s: float, *, synchronised: bool | None, in_container: bool
) -> tuple[list[str], list[str]]:
    """Problems and notes on the clock. `synchronised` is None where nobody can tell."""
    shown = f"its clock is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the control machine's"
    far = abs(skew_s) > allowed_s
    if far and not synchronised:
        return [
            (
                f"{shown} ({allowed_s:.0f} s are allowed), and nothing synchronises it: tokens and certificates are refused with a"
                " wrong time. Install systemd-timesyncd or chrony, and wait until `timedatectl` says it is synchronised"
            )
        ], []
    if far:
        return [], [f"{shown}, though the host's is synchronised: look at the control machine's clock"]
    if not synchronised and not in_container:
        return [], [
            "nothing seems to synchronise its clock; install systemd-timesyncd or chrony before it drifts"
        ]
    return [], []


def disk(wanted: list[dict[str, Any]], free: Callable[[str], int]) -> list[str]:
    """Problems with the disk, given a function that says how many bytes are free at a path."""
    problems = []
    for entry in wanted:
        path, need_gb = entry["path"], entry["min_gb"]
        have_gb = free(path) / GB
        if have_gb < need_gb:
            problems.append(
                f"{have_gb:.1f} GB are free for {path}, {need_gb:g} GB are needed; make room (`docker system df` says what"
                f" images and volumes take), mount a larger disk there, or lower {entry['setting']}"
            )
    return problems


def free_bytes(path: str) -> int:
    """Bytes that are free where the path is, or will be."""
    folder = Path(path)
    while not folder.exists():
        folder = folder.parent
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def is_synchronised() -> bool | None:
    """Whether the kernel's clock is kept by somebody; None where nobody can tell."""
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {"yes": True, "no": False}.get(asked.stdout.strip())


def read(path: str) -> str:
    """A small file's text, empty where there is none."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def look(asked: dict[str, Any], now: float) -> tuple[list[str], list[str]]:
    """All problems, and all notes, of this host."""
    os_problems, os_notes = system(os_release(read("/etc/os-release")))
    in_container = any(Path(name).exists() for name in ("/run/systemd/container", "/.dockerenv"))
    clock_problems, clock_notes = clock(
        now - asked["now"],
        asked["max_clock_skew_s"],
        synchronised=is_synchronised(),
        in_container=in_container,
    )
    problems = [
        *os_problems,
        *service_manager(
            read("/proc/1/comm") or "unknown", folder_exists=Path("/run/systemd/system").is_dir()
        ),
        *architecture(platform.machine(), asked["architectures"]),
        *python(sys.version_info[:2]),
        *rights(os.geteuid(), pwd.getpwuid(os.geteuid()).pw_name),
        *clock_problems,
        *disk(asked["disk"], free_bytes),
    ]
    return problems, [*os_notes, *clock_notes]


def main() -> None:
    """Look, and refuse with all reasons at once."""
    now = time.time()
    entry = {
        "path": {"type": "path", "required": True},
        "min_gb": {"type": "float", "required": True},
        "setting": {"type": "str", "required": True},
    }
    module = AnsibleModule(
        argument_spec={
            "role": {"type": "str", "required": True},
            "architectures": {"type": "list", "elements": "str", "default": ["amd64", "arm64"]},
            "disk": {"type": "list", "elements": "dict", "default": [], "options": entry},
            "now": {"type": "float", "required": True},
            "max_clock_skew_s": {"type": "float", "default": 30.0},
            "passed": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    problems, notes = look(module.params, now)
    for note in notes:
        module.warn(note)
    if problems:
        reasons = "".join(f"\n* {problem}." for problem in problems)
        module.fail_json(
            msg=f"This host can't be used for {module.params['role']}, and nothing was changed:{reasons}",
        )
    module.exit_json(changed=False, notes=notes, ansible_facts={"nx_dte_passed": module.params["passed"]})


if __name__ == "__main__":
    main()
