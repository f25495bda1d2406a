"""What the preflight of every role refuses, and says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.role_code import code_of

ROLES = Path(__file__).resolve().parents[2] / "roles"


HOST = code_of("_common/library/nx_dte_host.py")


@pytest.mark.parametrize(
    ("text", "refused", "noted"),
    [
        ('PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\nVERSION_ID="12"\n', False, False),
        ('ID=debian\nVERSION_ID="13"\n', False, False),
        ("ID=debian\nVERSION_ID='11'\n", True, False),
        ("ID=debian\n", True, False),
        ('ID=ubuntu\nVERSION_ID="24.04"\n', False, True),
        ('ID=ubuntu\nVERSION_ID="20.04"\n', True, False),
        ("# Debian-like\nID=alpine\nVERSION_ID=3.20\n", True, False),
        ("", True, False),
    ],
)
def test_operating_systems(text: str, *, refused: bool, noted: bool) -> None:
    problems, notes = HOST.system(HOST.os_release(text))
    assert (bool(problems), bool(notes)) == (refused, noted)
    assert all("Debian 12" in message for message in [*problems, *notes])


@pytest.mark.parametrize(
    ("skew_s", "synchronised", "refused", "noted"),
    [
        (0.4, True, False, False),
        (0.4, False, False, True),
        (0.4, None, False, True),
        (31.0, False, True, False),
        (-31.0, None, True, False),
        (400.0, True, False, True),
    ],
)
def test_clocks(skew_s: float, *, synchronised: bool | None, refused: bool, noted: bool) -> None:
    problems, notes = HOST.clock(skew_s, 30.0, synchronised=synchronised, in_container=False)
    assert (bool(problems), bool(notes)) == (refused, noted)


def test_a_clock_that_is_off_is_given_in_numbers_and_with_what_to_do() -> None:
    ([problem], _) = HOST.clock(-95.2, 30.0, synchronised=False, in_container=False)
    assert "95 s behind" in problem
    assert "30 s are allowed" in problem
    assert "chrony" in problem


def test_a_container_has_its_machine_s_clock() -> None:
    assert HOST.clock(0.1, 30.0, synchronised=False, in_container=True) == ([], [])


def test_free_disk_is_given_in_numbers_and_names_the_setting() -> None:
    wanted = [{"path": "/var/lib/docker", "min_gb": 10, "setting": "docker_engine_min_free_gb"}]
    assert HOST.disk(wanted, lambda _: 10 * 10**9) == []
    [problem] = HOST.disk(wanted, lambda _: 3_140_000_000)
    for part in ("3.1 GB", "/var/lib/docker", "10 GB", "docker_engine_min_free_gb"):
        assert part in problem


def test_a_path_need_not_exist_yet(tmp_path: Path) -> None:
    assert HOST.free_bytes(str(tmp_path / "not/there/yet")) > 0


def test_other_architectures_service_managers_interpreters_and_users_are_refused() -> None:
    assert HOST.architecture("x86_64", ["amd64"]) == []
    assert "arm64" in HOST.architecture("aarch64", ["amd64"])[0]
    assert HOST.service_manager("systemd", folder_exists=True) == []
    assert "tini" in HOST.service_manager("tini", folder_exists=False)[0]
    assert HOST.python((3, 9)) == []
    assert "3.8" in HOST.python((3, 8))[0]
    assert HOST.rights(0, "root") == []
    assert "ansible_become" in HOST.rights(1000, "debian")[0]


def test_packages_that_a_host_has_are_not_copied_to_it() -> None:
    files = [
        "/b/caddy_2.6.2-12+deb13u1_amd64.deb",
        "/b/libnss3_2%3a3.110-1_amd64.deb",
        "/b/tini_0.19.0-3_amd64.deb",
    ]
    there = "caddy_2.6.2-12_installed\nlibnss3_2:3.110-1_installed\ntini_0.19.0-3_config-files\n"
    assert code_of("_common/filter_plugins/nx_dte_packages.py").missing(files, there) == [files[0], files[2]]
