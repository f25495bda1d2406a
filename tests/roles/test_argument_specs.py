"""Every role says what its variables are: the same ones, with the same defaults, as it has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.parents[1].name for path in ROOT.glob("roles/*/tasks/main.yml"))
ABSENT = object()


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def entry_points(role: str) -> dict[str, Any]:
    found = read(ROOT / "roles" / role / "meta/argument_specs.yml")["argument_specs"]
    assert isinstance(found, dict)
    return found


def options(role: str) -> dict[str, Any]:
    """Those of the main entry point; a role of shared task files has them where it is entered."""
    points = entry_points(role)
    found = points["main"].get("options") or points["preflight"]["options"]
    assert isinstance(found, dict)
    return found


def defaults(role: str) -> dict[str, Any]:
    found = read(ROOT / "roles" / role / "defaults/main.yml")
    assert isinstance(found, dict)
    return found


def undescribed(found: dict[str, Any], where: str) -> Iterator[str]:
    """Options without a description, those inside others included."""
    for name, option in found.items():
        if not str(option.get("description", "")).strip():
            yield f"{where}{name}"
        yield from undescribed(option.get("options", {}), f"{where}{name}.")


def test_there_are_roles() -> None:
    assert {"_common", "docker_engine", "nx_dte_image", "gitlab_runner", "nx_dte_coordinator"} <= set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_every_default_is_an_option_and_every_option_has_a_default_or_is_required(role: str) -> None:
    required = {name for name, option in options(role).items() if option.get("required")}
    assert set(options(role)) - required == set(defaults(role))


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_those_that_are_documented(role: str) -> None:
    found = defaults(role)
    documented = {
        name: option.get("default", ABSENT)
        for name, option in options(role).items()
        if not option.get("required")
    }
    assert {name: value for name, value in documented.items() if value != found[name]} == {}


@pytest.mark.parametrize("role", ROLES)
def test_every_option_is_described(role: str) -> None:
    points = entry_points(role)
    assert [name for name, point in points.items() if not point.get("short_description")] == []
    found = [
        name for key, point in points.items() for name in undescribed(point.get("options", {}), f"{key}: ")
    ]
    assert found == []


@pytest.mark.parametrize("role", ROLES)
def test_names_begin_with_the_role_s(role: str) -> None:
    assert [name for name in options(role) if not name.startswith(f"{role}_")] == []


@pytest.mark.parametrize("role", ROLES)
def test_there_is_a_page_that_names_only_variables_that_exist(role: str) -> None:
    page = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(rf"`({role}_\w+)[`:]", page))
    known = {name for point in entry_points(role).values() for name in point.get("options", {})}
    assert named - known - {f"{role}_id", f"{role}_name"} == set()
