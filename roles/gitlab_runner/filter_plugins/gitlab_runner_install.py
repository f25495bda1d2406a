"""Says what is wrong with the variables of the installation, and what dpkg has installed.

It looks at the controller's files only; hosts are asked by tasks.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Table = dict[str, Any]


def digest(path: str) -> str:
    """Return the SHA-256 of a file of the controller, or '' if there is none."""
    file = Path(path).expanduser()
    if not file.is_file():
        return ""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def install_problems(install: Table) -> list[str]:
    """Return all that is wrong, each as a sentence that says what to do; an empty list is good."""
    method = install["method"]
    problems: list[str] = []
    if method == "repository":
        problems += _repository_problems(install["repository"], install["version"])
    elif method == "package":
        problems += _source_problems("gitlab_runner_package", install["package"], needed=True)
        problems += _source_problems("gitlab_runner_helper_package", install["helper_package"], needed=False)
    elif not install["binary"].get("path"):
        problems += _source_problems("gitlab_runner_binary", install["binary"], needed=True)
    archive = {"file": install["helper_image_archive"], "sha256": install["helper_image_archive_sha256"]}
    if archive["file"]:
        problems += _source_problems("gitlab_runner_helper_image_archive", archive, needed=True)
        if not archive["sha256"]:
            problems.append(
                "gitlab_runner_helper_image_archive_sha256 is empty: set it to what `sha256sum` says of the archive."
            )
        if not install["helper_image"]:
            problems.append(
                "gitlab_runner_helper_image_archive is set: name the image in it by gitlab_runner_helper_image."
            )
    return problems


def _repository_problems(repository: Table, version: str) -> list[str]:
    """Return what is wrong with a deb822 source and the pin of what it has."""
    problems = []
    if not repository:
        problems.append(
            "gitlab_runner_install_method is repository, and gitlab_runner_repository is empty. No source is contacted"
            " unasked: give it uris, suites, components and signed_by."
        )
    lacking = [key for key in ("uris", "suites") if repository and not repository.get(key)]
    if lacking:
        problems.append(
            f"gitlab_runner_repository lacks {' and '.join(lacking)}. Add what a deb822 source needs."
        )
    # The text of a key may have addresses in its headers.
    if str(repository.get("signed_by", "")).startswith(("http://", "https://")):
        problems.append(
            "gitlab_runner_repository: signed_by is an address, and apt fetches no keys. Save the ASCII-armoured key"
            " as a file on the controller, and name that."
        )
    if not version:
        problems.append(
            "gitlab_runner_install_method is repository: pin gitlab_runner_version, such as 18.6.0."
        )
    return problems


def _source_problems(name: str, source: Table, *, needed: bool) -> list[str]:
    """Return what is wrong with {file, url, sha256}."""
    if not source.get("file") and not source.get("url"):
        return (
            [
                f"{name} names neither a file on the controller nor an address. Set one, or another gitlab_runner_install_method."
            ]
            if needed
            else []
        )
    if source.get("url"):
        return (
            []
            if source.get("sha256")
            else [f"{name}: {source['url']} has no sha256. Add it: what is downloaded is checked."]
        )
    found = digest(source["file"])
    if not found:
        return [f"{name}: {source['file']} is no file on the controller. Correct the path."]
    wanted = source.get("sha256")
    if wanted and wanted.lower() != found:
        return [
            f"{name}: {source['file']} has the SHA-256 {found}, and {wanted} was expected. Do not use it before you know why."
        ]
    return []


def packages(listing: str) -> dict[str, Table]:
    """Return what dpkg-query has listed: a version without its Debian revision and epoch, and whether it is held."""
    found = {}
    for line in listing.splitlines():
        # The version is empty of a package that others only name.
        name, version, want, status = line.split(" ")
        if status == "installed":
            found[name] = {"version": version.rsplit("-", 1)[0].split(":", 1)[-1], "held": want == "hold"}
    return found


def package_file(source: Table) -> str:
    """Return the name of a package's file, wherever it comes from."""
    return Path(source["file"] if source.get("file") else urlsplit(source["url"]).path).name


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Any]:
        """Return them by the names that templates use."""
        return {
            "gitlab_runner_install_problems": install_problems,
            "gitlab_runner_package_file": package_file,
            "gitlab_runner_packages": packages,
        }
