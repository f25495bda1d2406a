"""What the role gitlab_runner says of its installation's variables, and reads of dpkg."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.role_code import code_of

if TYPE_CHECKING:
    from pathlib import Path

INSTALL = code_of("gitlab_runner/filter_plugins/gitlab_runner_install.py")
SOURCE = {"uris": "https://example.org/debian", "suites": "bookworm"}


def variables(**changed: Any) -> dict[str, Any]:
    return {
        "method": "package",
        "version": "",
        "repository": {},
        "package": {},
        "helper_package": {},
        "binary": {},
        "helper_image": "",
        "helper_image_archive": "",
        "helper_image_archive_sha256": "",
    } | changed


def test_files_and_their_checksums_are_looked_at(tmp_path: Path) -> None:
    deb = tmp_path / "gitlab-runner.deb"
    deb.write_bytes(b"package")
    good = {"file": str(deb), "sha256": hashlib.sha256(b"package").hexdigest()}
    assert INSTALL.install_problems(variables(package=good)) == []
    assert INSTALL.install_problems(variables(package={"file": str(deb)})) == []
    (other,) = INSTALL.install_problems(variables(package=good | {"sha256": "0" * 64}))
    assert "was expected" in other
    (missing,) = INSTALL.install_problems(variables(package={"file": str(tmp_path / "no.deb")}))
    assert "no.deb is no file on the controller" in missing


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "gitlab_runner_package names neither a file on the controller nor an address"),
        ({"package": {"url": "https://example.org/a.deb"}}, "has no sha256"),
        ({"method": "repository", "version": "18.6.0"}, "gitlab_runner_repository is empty"),
        ({"method": "repository", "repository": SOURCE}, "pin gitlab_runner_version"),
        (
            {"method": "repository", "version": "18.6.0", "repository": {"uris": "x"}},
            "gitlab_runner_repository lacks suites",
        ),
        (
            {
                "method": "repository",
                "version": "18.6.0",
                "repository": {**SOURCE, "signed_by": "https://x/key.asc"},
            },
            "apt fetches no keys",
        ),
        ({"method": "binary"}, "gitlab_runner_binary names neither"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_missing_is_said(changed: dict[str, Any], expected: str) -> None:
    (problem,) = INSTALL.install_problems(variables(**changed))
    assert expected in problem


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "binary", "binary": {"path": "/opt/gitlab-runner"}},
        {"method": "repository", "repository": SOURCE, "version": "18.6.0"},
        {"package": {"url": "https://example.org/a.deb", "sha256": "0" * 64}},
    ],
    ids=str,
)
def test_what_is_complete_is_taken(changed: dict[str, Any]) -> None:
    assert INSTALL.install_problems(variables(**changed)) == []


def test_an_archive_needs_a_name_and_a_checksum(tmp_path: Path) -> None:
    archive = tmp_path / "helper.tar"
    archive.write_bytes(b"image")
    binary = {"method": "binary", "binary": {"path": "/opt/gitlab-runner"}}
    found = INSTALL.install_problems(variables(**binary, helper_image_archive=str(archive)))
    assert [text.split(" ", 1)[0].rstrip(":") for text in found] == [
        "gitlab_runner_helper_image_archive_sha256",
        "gitlab_runner_helper_image_archive",
    ]


def test_dpkg_is_read() -> None:
    listing = (
        "gitlab-runner 1:18.6.0-1 hold installed\ngitlab-runner-helper-images 18.5.0 install config-files\n"
    )
    assert INSTALL.packages(listing) == {"gitlab-runner": {"version": "18.6.0", "held": True}}
    assert INSTALL.packages("gitlab-runner-helper-images  unknown not-installed\n") == {}
    assert INSTALL.packages("") == {}


@pytest.mark.parametrize(
    "source",
    [
        {"file": "/tmp/x/a.deb"},
        {"url": "https://example.org/pool/a.deb?token=1"},
        {"url": "u/a.deb", "file": ""},
    ],
)
def test_a_package_keeps_its_name(source: dict[str, str]) -> None:
    assert INSTALL.package_file(source) == "a.deb"
