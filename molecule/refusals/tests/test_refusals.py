"""What an operator may get wrong stops in the preflight, says what to do, and changes nothing on the host or at GitLab."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gitlab_remote import RemoteGitLab
from tests.support.playbooks import play

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testinfra.host import Host

pytestmark = pytest.mark.timeout(300)
testinfra_hosts = ["ansible://gitlab_runners"]

GITLAB = "http://10.91.6.10"
MAIN = {"name": "main", "tags": ["nx-main"], "limit": 1}
AGENT = {"name": "agent", "tags": ["nx-agent"], "limit": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """Variables that are wrong, and what the operator must be told."""

    variables: dict[str, Any] = field(default_factory=dict)
    said: tuple[str, ...]


def _pools(*pools: dict[str, Any]) -> dict[str, Any]:
    return {"gitlab_runner_pools": list(pools)}


# The filters' and modules' own tests have many more; these go through the whole playbook.
MISTAKES = {
    "a wrong API token": Mistake(
        variables={"gitlab_runner_api_token": "glpat-nobody-knows-this-one"},
        said=("does not accept the API token", "create_runner, manage_runner, read_api", "gitlab_runner_api_token"),
    ),
    "no API token": Mistake(
        variables={"gitlab_runner_api_token": ""},
        said=("gitlab_runner_api_token is empty", "create_runner, manage_runner and read_api", "vault"),
    ),
    "a GitLab that does not answer": Mistake(
        variables={"gitlab_runner_gitlab_url": f"{GITLAB}:81"},
        said=(f"GitLab at {GITLAB}:81 cannot be reached from the controller", "Check gitlab_runner_api_url", "firewalls"),
    ),
    "no tags": Mistake(
        variables=_pools(MAIN, AGENT | {"tags": []}),
        said=("pool 'agent': tags is empty", "Name a tag, or set run_untagged to true"),
    ),
    "one pool for main jobs and agents": Mistake(
        variables=_pools({"name": "all", "tags": ["nx-main", "nx-agent"], "limit": 4}),
        said=("pool 'all' has both tags, nx-main and nx-agent", "4 main jobs take all of its 4 slots", "Make two pools"),
    ),
    "fewer jobs at once than slots": Mistake(
        variables={"gitlab_runner_concurrent": 3},
        said=("gitlab_runner_concurrent is 3", "add up to 4 (main 1 + agent 3)", "Set it to 4 or more"),
    ),
    "bad TOML of a pool": Mistake(
        variables=_pools(MAIN, AGENT | {"extra": "output_limit = 1\nshell = bash\n"}),
        said=("pool 'agent': extra is no valid TOML", "line 2", "shell = bash"),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def inventory() -> Path:
    return Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent


@pytest.fixture(scope="module")
def gitlab() -> RemoteGitLab:
    return RemoteGitLab(url=GITLAB)


@pytest.fixture
def other_system(host: Host) -> Iterator[None]:
    """The host says that it is a Fedora."""
    host.run_test("cp --dereference --preserve=all /etc/os-release /tmp/os-release && rm /etc/os-release")
    host.run_test("printf 'ID=fedora\\nVERSION_ID=41\\nPRETTY_NAME=\"Fedora Linux 41\"\\n' > /etc/os-release")
    yield
    host.run_test("rm /etc/os-release && ln -s ../usr/lib/os-release /etc/os-release")


def _state(host: Host, gitlab: RemoteGitLab) -> dict[str, Any]:
    """Everything a playbook could change: packages, files with the time of their last change, and GitLab's runners."""
    # The system's own housekeeping is not ours.
    own = "-path /var/lib/systemd -prune -o"
    files = host.check_output(
        f"find /etc /home /opt /srv /usr /var/lib /var/cache {own} -printf '%p %y %u %g %m %s %C@\\n' | sort"
    )
    units = host.check_output("systemctl list-unit-files --no-legend --no-pager | sort")
    return {"files": files, "units": units, "runners": gitlab.runners()}


def _insist_on_refusal(host: Host, gitlab: RemoteGitLab, inventory: Path, mistake: Mistake) -> None:
    before = _state(host, gitlab)
    run = play("site.yml", inventory, variables=mistake.variables)
    assert run.code != 0
    assert [text for text in mistake.said if text not in run.words] == [], run.output
    assert not re.search(r"glpat-\S+", run.output), "a token was shown"
    # Nothing but the preflight has begun.
    assert "Turn hosts into GitLab runners" not in run.output
    assert set(run.changed.values()) == {0}, run.output
    assert _state(host, gitlab) == before


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_and_nothing_changes(
    host: Host, gitlab: RemoteGitLab, inventory: Path, mistake: Mistake
) -> None:
    _insist_on_refusal(host, gitlab, inventory, mistake)


@pytest.mark.usefixtures("other_system")
def test_an_unsupported_system_is_refused_and_nothing_changes(
    host: Host, gitlab: RemoteGitLab, inventory: Path
) -> None:
    _insist_on_refusal(host, gitlab, inventory, Mistake(said=("Fedora Linux 41", "Debian 12")))


def test_without_a_mistake_the_preflight_passes_and_prints_the_slots(
    host: Host, gitlab: RemoteGitLab, inventory: Path
) -> None:
    """Else the refusals would show nothing; and to look must change nothing, either."""
    before = _state(host, gitlab)
    for options in ((), ("--check",)):
        run = play("preflight.yml", inventory, *options).insist()
        assert "1 main slots, 3 agent slots: 1 pipelines of 3 agents at once" in run.words
        assert set(run.changed.values()) == {0}
    assert _state(host, gitlab) == before
