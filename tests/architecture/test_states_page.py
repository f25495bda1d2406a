"""docs/states.md and the state enums of nx_dte.model say the same."""

import enum
import importlib
import pkgutil
import re
from pathlib import Path

import nx_dte.model

HEADING = re.compile(r"\(`(\w+)`\)")
ROW = re.compile(r"^\| `(\w+)` \| (.+) \|$")
DESCRIBED = ("State", "Outcome")


def _documented(page: str) -> dict[str, dict[str, str]]:
    """Enum name → member → sentence, as the page has them."""
    enums: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in page.splitlines():
        if heading := HEADING.search(line):
            current = enums.setdefault(heading[1], {})
        elif row := ROW.match(line):
            current[row[1]] = row[2]
    return enums


def _declared() -> dict[str, set[str]]:
    """Enum name → values, of every state and outcome enum that the model declares."""
    modules = [
        importlib.import_module(info.name)
        for info in pkgutil.walk_packages(nx_dte.model.__path__, "nx_dte.model.")
    ]
    return {
        name: {str(member.value) for member in value}
        for module in [nx_dte.model, *modules]
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, enum.Enum) and name.endswith(DESCRIBED)
    }


def test_every_state_is_documented_and_every_documented_state_exists(repository_root: Path) -> None:
    documented = _documented((repository_root / "docs/states.md").read_text(encoding="utf-8"))
    assert {name: set(members) for name, members in documented.items()} == _declared()


def test_each_state_is_one_sentence(repository_root: Path) -> None:
    documented = _documented((repository_root / "docs/states.md").read_text(encoding="utf-8"))
    sentences = [sentence for members in documented.values() for sentence in members.values()]
    assert sentences
    assert [sentence for sentence in sentences if not re.fullmatch(r"[^.]+\.", sentence)] == []
