"""What somebody must change before the job can do its work: exit code 78, and one message that says what."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nx_dte.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.orchestrator.fake_nx import Checkout
    from tests.integration.orchestrator.servers import Ours

ORCHESTRATE = ("orchestrate", "--", "nx", "affected")
AGENT = ("agent",)


def remove(name: str) -> Callable[[Checkout], None]:
    def change(checkout: Checkout) -> None:
        path = checkout.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def nx_is(version: str) -> Callable[[Checkout], None]:
    def change(checkout: Checkout) -> None:
        (checkout.root / "node_modules/nx/package.json").write_text(f'{{"version": "{version}"}}')

    return change


def variable(name: str, value: str | None) -> Callable[[Checkout], None]:
    def change(checkout: Checkout) -> None:
        if value is None:
            checkout.variables.pop(name)
        else:
            checkout.variables[name] = value

    return change


def nothing(_: Checkout) -> None:
    """Change nothing."""


def there_is_no_yarn(checkout: Checkout) -> None:
    (checkout.fake / "bin/yarn").unlink()
    checkout.variables["PATH"] = "/usr/sbin:/sbin"


# name → the command, what is wrong, and what the message must say
BOTH = {
    "no workspace": (remove("nx.json"), "in no Nx workspace", "--directory"),
    "nothing installed": (remove("node_modules"), "nx is not installed", "yarn install --frozen-lockfile"),
    "no nx-cloud": (remove("node_modules/.bin/nx-cloud"), "its command nx-cloud is missing", "yarn install"),
    "an old Nx": (nx_is("15.9.7"), "Nx 15.9.7", "nx migrate"),
    "an Nx too old for ours": (nx_is("18.0.0"), "Nx 18.0.0", "needs Nx 20 or newer"),
    "no lock file": (remove("yarn.lock"), "no lock file", "--runner yarn|npm|pnpm|npx"),
    "no package manager": (there_is_no_yarn, "yarn is not on PATH", "corepack enable"),
    "no address": (variable("NX_CLOUD_API", None), "NX_CLOUD_API is not set", "coordinator's address"),
    "no real address": (
        variable("NX_CLOUD_API", "coordinator:8720"),
        "coordinator:8720",
        "coordinator's address",
    ),
    "a port that is none": (
        variable("NX_CLOUD_API", "http://127.0.0.1:99999"),
        "no http(s) address",
        "coordinator's address",
    ),
    "a token in two lines": (
        variable("NX_CLOUD_ACCESS_TOKEN", "one\ntwo"),
        "holds a line break",
        "to the token alone",
    ),
    "no token": (
        variable("NX_CLOUD_ACCESS_TOKEN", None),
        "NX_CLOUD_ACCESS_TOKEN is not set",
        "CI/CD variable",
    ),
    "a wrong token": (variable("NX_CLOUD_ACCESS_TOKEN", "x"), "401", "make one"),
    "no id": (variable("CI_PIPELINE_ID", ""), "nothing tells this CI run", "NX_CI_EXECUTION_ID"),
}
CASES = {
    **{f"orchestrate: {name}": (ORCHESTRATE, *case) for name, case in BOTH.items()},
    **{f"agent: {name}": (AGENT, *case) for name, case in BOTH.items()},
    "not a git checkout": (
        ORCHESTRATE,
        remove(".git"),
        "is not inside a git checkout",
        "checked out its project",
    ),
    "an unknown commit": (
        ORCHESTRATE,
        variable("CI_COMMIT_SHA", "c" * 40),
        "is not in the checkout",
        "check it out",
    ),
    "an unknown option": (("orchestrate", "--fast"), nothing, "No such option '--fast'", "--help"),
    "an unknown option of the agent": (("agent", "--fast"), nothing, "No such option '--fast'", "--help"),
    "an unknown command": (("orchestra",), nothing, "No such command 'orchestra'", "--help"),
    "an unknown package manager": (("agent", "--runner", "bun"), nothing, "'bun' is not one of", "'pnpm'"),
    "a folder that is not there": (
        ("agent", "--directory", "x"),
        nothing,
        "'x' does not exist",
        "--directory",
    ),
    "no command": (
        ("orchestrate", "--fail-fast"),
        nothing,
        "no command is given",
        "nx-dte orchestrate -- nx",
    ),
    "an open quote": (("orchestrate", "--run", "nx 'run"), nothing, "cannot be split into words", "quote"),
    "an empty record": (("orchestrate", "--record", "", "nx"), nothing, "a command is empty", "--record"),
    "an empty word for a program": (
        ("orchestrate", "", "-t", "lint"),
        nothing,
        "its first word is",
        "variables",
    ),
    "an impossible number": (("agent", "--lifetime", "-1"), nothing, "'--lifetime'", "x>0"),
}


@pytest.mark.parametrize(("arguments", "change", "what", "what_to_do"), CASES.values(), ids=CASES)
def test_it_is_refused_with_one_message(
    checkout: Checkout,
    ours: Ours,
    arguments: tuple[str, ...],
    change: Callable[[Checkout], None],
    what: str,
    what_to_do: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    change(checkout)
    monkeypatch.chdir(checkout.root)
    for name, value in {**checkout.environ, **checkout.variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["nx-dte", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capfd.readouterr()
    assert ended.value.code == 78
    message = said.err.splitlines()[-1]
    assert what in message
    assert what_to_do in said.err
    assert "Traceback" not in said.err
    assert [line for line in said.err.splitlines() if line.startswith(("nx-dte: ", "Error: "))] == [message]
    assert said.out == ""
    assert checkout.calls == []
    assert ours.told == []


def test_from_a_real_shell_it_is_the_same(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "nx_dte", "agent"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (78, "")
    assert ended.stderr.startswith(f"nx-dte: {tmp_path} is in no Nx workspace")
    assert len(ended.stderr.splitlines()) == 1
