"""What runs the scenarios: which there are, how long their phases take, what is left of them."""

from __future__ import annotations

import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from toolchain.images.engine import NoEngineError
from toolchain.molecule import __main__ as program
from toolchain.molecule import packages, python_packages, running
from toolchain.molecule.hosts import NAMES
from toolchain.molecule.running import Outcome, Phases, environment, run_all
from toolchain.molecule.scenarios import Scenario, ScenarioError, read_scenarios

if TYPE_CHECKING:
    from pathlib import Path

PLATFORM = {
    "name": "one-runner-1",
    "image": "nx-dte-test/host:bookworm",
    "networks": [{"name": "nx-dte-one", "ipv4_address": "10.91.9.41"}],
}


def write(root: Path, name: str, *platforms: object) -> None:
    folder = root / "molecule" / name
    folder.mkdir(parents=True)
    (folder / "molecule.yml").write_text(yaml.safe_dump({"platforms": list(platforms)}), encoding="utf-8")


def test_scenarios_are_the_folders_with_a_molecule_yml(tmp_path: Path) -> None:
    write(tmp_path, "two", PLATFORM)
    write(tmp_path, "one", PLATFORM)
    (tmp_path / "molecule/shared").mkdir()
    assert [scenario.name for scenario in read_scenarios(tmp_path)] == ["one", "two"]
    [one] = read_scenarios(tmp_path, ["one"])
    assert one.images == {"nx-dte-test/host:bookworm"}
    assert one.network == "nx-dte-one"
    with pytest.raises(ScenarioError, match=r"there is no scenario three; molecule/ has one, two"):
        read_scenarios(tmp_path, ["three"])


def test_a_host_without_an_address_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    write(tmp_path, "one", {"name": "a", "image": "b"})
    with pytest.raises(ScenarioError, match="networks with a name and an ipv4_address"):
        read_scenarios(tmp_path)


def test_the_scenarios_of_this_checkout_share_no_host_and_no_network(repository_root: Path) -> None:
    scenarios = read_scenarios(repository_root)
    hosts = [name for scenario in scenarios for name in scenario.instances]
    assert len(hosts) == len(set(hosts))
    assert all(name.startswith(f"{scenario.name}-") for scenario in scenarios for name in scenario.instances)
    assert [scenario.network for scenario in scenarios] == [f"nx-dte-{item.name}" for item in scenarios]
    assert {image for scenario in scenarios for image in scenario.images} <= set(NAMES)


def test_phases_last_until_the_next_begins() -> None:
    phases = Phases()
    lines = {
        "INFO     [default > discovery] scenario test matrix: create, converge\n": 0.0,
        "INFO     [default > create] Executing\n": 1.0,
        "INFO     [default > verify] Executing Testinfra tests found in tests/...\n": 2.0,
        "INFO     [default > converge] Executing\n": 4.0,
    }
    for line, moment in lines.items():
        phases.see(line, moment)
    assert phases.durations(9.5) == [("create", 3.0), ("converge", 5.5)]
    assert Phases().durations(1.0) == []


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One whose molecule is a script that prints two phases, then does what `ending` says."""
    monkeypatch.setattr(running, "sweep", lambda _name: None)
    monkeypatch.setattr(running, "docker", lambda *command: f"of {command[1]}")
    program = tmp_path / ".venv/bin/molecule"
    program.parent.mkdir(parents=True)
    program.write_text(
        "#!/bin/sh\necho 'INFO     [one > create] Executing'\necho \"in $MOLECULE_EPHEMERAL_DIRECTORY\"\n"
        "echo 'INFO     [one > converge] Executing'\n. ./ending\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return tmp_path


ONE = Scenario(name="one", images=frozenset(), instances=("one-a",), network="nx-dte-one")


@pytest.mark.parametrize(
    ("ending", "verdict"),
    [
        ("exit 0", "one: passed in "),
        ("echo why; exit 3", "one: FAILED (molecule ended with 3) in "),
        ("sleep 300", "one: FAILED (it did not end within 1 s) in "),
    ],
)
def test_a_scenario_ends_well_or_shows_its_log(
    checkout: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
    verdict: str,
) -> None:
    if "sleep" in ending:
        monkeypatch.setattr(running, "DEADLINE_S", 1.0)
    (checkout / "ending").write_text(f"{ending}\n", encoding="utf-8")
    assert run_all(checkout, [ONE]) is ("passed" in verdict)
    said = capsys.readouterr().out
    assert verdict in said
    assert "create 0, converge " in said
    is_kept = (checkout / ".cache/molecule/one-a.journal").exists()
    assert is_kept is ("passed" not in verdict)
    assert (f"  | in {checkout}/.cache/molecule/run/one/molecule" in said) is ("passed" not in verdict)


def test_without_an_engine_scenarios_are_skipped_and_it_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_folder: Path) -> None:
        raise NoEngineError("start one and try again")

    monkeypatch.setattr(program, "running_engine", none)
    monkeypatch.setattr(signal, "signal", lambda *_arguments: None)
    assert program.main(["test"]) == 0
    assert "molecule: skipped: start one and try again" in capsys.readouterr().err


def test_scenarios_get_what_is_given_and_folders_of_their_own(tmp_path: Path) -> None:
    made = environment(
        tmp_path, tmp_path / "run", {"PATH": "/bin", "GITLAB_RUNNER_BIN": "/opt/gitlab-runner"}
    )
    assert made["GITLAB_RUNNER_BIN"] == "/opt/gitlab-runner"
    assert made["PATH"] == f"{tmp_path}/.venv/bin:/bin"
    assert made["TMPDIR"].startswith(f"{tmp_path}/run/")


def test_a_result_names_its_phases() -> None:
    outcome = Outcome(name="one", is_good=True, duration_s=9.6, phases=[("converge", 7.2), ("verify", 2.4)])
    assert outcome.line() == "one: passed in 10 s: converge 7, verify 2"


def test_the_lock_has_what_the_stand_ins_need(repository_root: Path) -> None:
    names = python_packages.closure(["pyjwt[crypto]", "httpx2"])
    assert {"cryptography", "cffi", "httpcore2", "anyio"} <= names
    entries = python_packages.locked((repository_root / python_packages.LOCK).read_text("utf-8"), names)
    assert all("--hash=sha256:" in entry for entry in entries)
    with pytest.raises(ValueError, match=r"requirements/dev\.txt lacks nowhere; run `make lock`"):
        python_packages.locked("", {"nowhere"})


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
def test_packages_say_that_they_are_stand_ins(
    repository_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "tree", lambda _root, _needs: _folder(tmp_path / "tree"))
    for name in ("toolchain/molecule/gitlab-runner", "tests/support/runner"):
        shutil.copytree(repository_root / name, tmp_path / name)
    packages.build_packages(tmp_path)
    found = sorted((tmp_path / packages.FOLDER).iterdir())
    assert [file.name for file in found] == [
        f"{name}_{version}_all.deb"
        for name in ("gitlab-runner-helper-images", "gitlab-runner")
        for version in packages.VERSIONS
    ]
    for file in found:
        shown = subprocess.run(["dpkg-deb", "-I", file], capture_output=True, text=True, check=True).stdout
        assert "This is a stand-in for tests of nx-dte" in shown
    listed = subprocess.run(["dpkg-deb", "-c", found[-1]], capture_output=True, text=True, check=True).stdout
    assert "./usr/bin/gitlab-runner" in listed
    assert "__pycache__" not in listed


def _folder(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path
