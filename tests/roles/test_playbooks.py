"""Playbooks and roles: they parse, have one shape, and show no secret."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = sorted(ROOT.glob("ansible/playbooks/*.yml"))
TASK_FILES = sorted(
    path
    for pattern in ("roles/*/tasks/*.yml", "roles/*/handlers/*.yml", "ansible/playbooks/*.yml")
    for path in ROOT.glob(pattern)
)
ROLES = sorted(path.parents[1].name for path in ROOT.glob("roles/[a-z]*/tasks/main.yml"))
PHASES = ("preflight", "install", "register", "configure", "hygiene", "run")
BLOCKS = ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks", "handlers")
SYNTAX_S = 120.0
# Variables that hold a secret, by their names: what an expression reads, whole or a key of it.
SECRET = re.compile(
    r"\b\w*(?:api_token|read_write_token|read_only_token|database_url|password|private_key|_registered)\b"
)
EXPRESSION = re.compile(r"{{(.*?)}}|{%(.*?)%}", re.DOTALL)
# These neither print their arguments nor send them anywhere.
SILENT = frozenset(
    {
        "ansible.builtin.include_role",
        "ansible.builtin.include_tasks",
        "ansible.builtin.import_tasks",
        "ansible.builtin.import_role",
    }
)
# Tasks that only ask something of a secret: "FILE: NAME" and why nothing of it is shown.
ONLY_ASKED = {
    "roles/gitlab_runner/tasks/rotate.yml: Choose the pools that nobody of this run has rotated yet": "names and ids only",
}
# Modules of ours mask the arguments that their own code declares secret.
OWN_MODULES = frozenset(path.stem for path in ROOT.glob("roles/*/library/*.py"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or []


def tasks(entries: Any) -> Iterator[dict[str, Any]]:
    """All tasks of a file, those in blocks with what the block says."""
    for entry in entries:
        inner = [key for key in BLOCKS if key in entry]
        for key in inner:
            for task in tasks(entry[key]):
                yield {"no_log": entry.get("no_log", False), **task}
        if not inner:
            yield entry


def action(task: dict[str, Any]) -> str:
    return next((key for key in task if "." in key or key in OWN_MODULES), "")


def secrets(value: Any) -> set[str]:
    """Names of secrets in the expressions of a task's arguments."""
    text = yaml.safe_dump(value, width=100_000)
    return {name for found in EXPRESSION.findall(text) for part in found for name in SECRET.findall(part)}


def all_tasks() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in TASK_FILES:
        for task in tasks(read(path)):
            yield f"{path.relative_to(ROOT)}: {task.get('name', action(task))}", task


def test_every_playbook_parses_with_the_example_inventory() -> None:
    assert {"site", "runners", "coordinator", "bake"} <= {path.stem for path in PLAYBOOKS}
    command = [
        str(ROOT / ".venv/bin/ansible-playbook"),
        "--syntax-check",
        "--inventory",
        "ansible/inventories/example",
    ]
    asked = subprocess.run(
        [*command, *map(str, PLAYBOOKS)],
        cwd=ROOT,
        env=dict(os.environ) | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=SYNTAX_S,
        check=False,
    )
    assert (asked.returncode, asked.stderr) == (0, ""), asked.stdout


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.stem)
def test_every_playbook_says_how_it_is_called(playbook: Path) -> None:
    head = playbook.read_text(encoding="utf-8").split("\n- name:")[0]
    assert head.count("#") >= 1


@pytest.mark.parametrize("role", ROLES)
def test_a_role_begins_with_a_table_of_its_phases(role: str) -> None:
    entries = list(tasks(read(ROOT / f"roles/{role}/tasks/main.yml")))
    including = ("import_tasks", "include_tasks", "include_role", "import_role")
    assert [entry["name"] for entry in entries if not action(entry).endswith(including)] == []
    assert [entry["name"] for entry in entries if not entry.get("tags")] == []
    first = [tags[0] if isinstance(tags := entry["tags"], list) else tags for entry in entries]
    phases = [phase for phase in first if phase in PHASES]
    assert phases[0] == "preflight"
    assert phases == sorted(phases, key=PHASES.index)


def test_what_handles_a_secret_is_not_logged() -> None:
    shown = [
        (where, sorted(names))
        for where, task in all_tasks()
        if action(task) not in SILENT | OWN_MODULES
        and not task.get("no_log")
        and where not in ONLY_ASKED
        and (names := secrets(task.get(action(task))))
    ]
    assert shown == []
    assert set(ONLY_ASKED) - {where for where, _ in all_tasks()} == set()


def test_our_modules_mask_the_secrets_they_are_given() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("roles/*/*/*.py"))
    masked = set(re.findall(r'"(\w+)": {[^{}]*"no_log": True', code))
    given = {
        key
        for _, task in all_tasks()
        if action(task) in OWN_MODULES
        for key, value in task[action(task)].items()
        if SECRET.search(key) or ("token" in key and secrets(value))
    }
    assert "api_token" in given
    assert given - masked == set()


def test_no_secret_is_an_argument_of_a_program() -> None:
    """Everybody on a host can read them."""
    programs = ("ansible.builtin.command", "ansible.builtin.shell")
    shown = []
    for where, task in all_tasks():
        if action(task) in programs:
            arguments = task[action(task)]
            told = (
                {key: value for key, value in arguments.items() if key in ("argv", "cmd")}
                if isinstance(arguments, dict)
                else arguments
            )
            shown += [(where, sorted(names))] if (names := secrets(told)) else []
    assert shown == []


def test_every_wait_has_an_end() -> None:
    waits = [(where, task) for where, task in all_tasks() if "until" in task]
    assert waits
    assert [where for where, task in waits if not {"retries", "delay"} <= task.keys()] == []
    timed = [task.get("ansible.builtin.wait_for") for _, task in all_tasks()]
    assert [arguments for arguments in timed if arguments and "timeout" not in arguments] == []


def test_a_regular_expression_keeps_its_backslashes() -> None:
    r"""In Jinja a backslash in a text needs a second one: a single one before a b is a backspace, and matches nothing."""
    found = re.compile(r"search\('[^']*(?<!\\)\\b")
    assert [str(path) for path in TASK_FILES if found.search(path.read_text(encoding="utf-8"))] == []


def test_a_boolean_may_be_given_as_text() -> None:
    """As `-e NAME=false` gives it: that is a text, and true, until `bool` reads it."""
    wrong = []
    for role in ROLES:
        specs = read(ROOT / "roles" / role / "meta/argument_specs.yml")["argument_specs"]
        options = {
            name: option for entry in specs.values() for name, option in entry.get("options", {}).items()
        }
        names = "|".join(name for name, option in options.items() if option["type"] == "bool")
        bare = re.compile(
            rf"(?:\bif|\bnot|\bor|\band|when:|that:|^ +-|registration=) ?(?:{names})\b(?! \| bool)(?!:)",
            re.MULTILINE,
        )
        files = [*ROOT.glob(f"roles/{role}/tasks/*.yml"), ROOT / "roles" / role / "vars/main.yml"]
        wrong += [
            f"{path.parent.parent.name}/{path.name}: {hit[0]}"
            for path in files
            if names and path.exists()
            for hit in bare.finditer(path.read_text(encoding="utf-8"))
        ]
    assert wrong == ["nx_dte_coordinator/preflight.yml:       - nx_dte_coordinator_image_allow_tag"]
